/** exp of a score plus this number is exactly 0 in f32, and so is its gradient. */
export const hiddenBias = -1e30;
