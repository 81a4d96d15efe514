/** Whether a word of the command line names the text of a step instead of a job. */
export const isStepFile = (word: string): boolean => word.endsWith(".mlir");
