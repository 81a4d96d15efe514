/** The memory classes in the order of the stacked plot: persistent ones first, then temporary ones. */
export const memoryClassNames = ["params", "optimizer", "gradients", "activations", "temporary"] as const;
