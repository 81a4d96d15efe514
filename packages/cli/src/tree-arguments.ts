/** Arguments that several commands share. */

export const jobArgument = { name: "job", description: "a job file, such as configs/jobs/quickstart.yaml", completes: "job" } as const;
export const overrides = {
  name: "overrides",
  description: "key=value pairs applied after the file, such as train.steps=50",
  optional: true,
  variadic: true,
} as const;
export const idArgument = { name: "id", description: "a run, as `lapidary jobs` lists them", completes: "run" } as const;
