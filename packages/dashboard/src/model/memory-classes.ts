/** In the order in which they are stacked: what stays, then what comes and goes. */
export const memoryClassNames = ["params", "optimizer", "gradients", "activations", "temporary"] as const;
