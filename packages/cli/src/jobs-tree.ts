import type { CommandSpec } from "./command-line/spec.js";
import { idArgument, overrides } from "./tree-arguments.js";

/** `lapidary jobs …`. */
export const jobsCommand: CommandSpec = {
  name: "jobs",
  summary: "list, inspect, wait for and cancel jobs",
  group: "Jobs:",
  examples: ["lapidary jobs --state running,queued", "lapidary jobs get quickstart-1"],
  commands: [
    {
      name: "list",
      summary: "all jobs, newest first",
      isDefault: true,
      options: [
        {
          flags: "--state <states>",
          description: "only these, separated by commas: queued, compiling, placing, running, done, failed, cancelled",
        },
        { flags: "--limit <number>", description: "maximum number of rows (default 20)", value: "whole" },
      ],
      examples: ["lapidary jobs list", "lapidary jobs list --state failed,cancelled --limit 5"],
      run: async (context, args) =>
        (await import("./commands/jobs.js")).listJobs(context, { state: args.text("state"), limit: args.number("limit") }),
    },
    {
      name: "get",
      summary: "one job: state, slice, loss, and its report once it is done; or a pipeline and its jobs",
      arguments: [idArgument],
      examples: ["lapidary jobs get quickstart-1", "lapidary jobs get assistant-1 --json"],
      run: async (context, args) => (await import("./commands/jobs.js")).getJob(context, args.required("id")),
    },
    {
      name: "wait",
      summary: "wait until a job ends; exit codes: 0 done, 100 failed, 103 cancelled, 101 not finished in time",
      arguments: [idArgument],
      options: [{ flags: "--timeout <seconds>", description: "maximum time to wait", value: "seconds" }],
      examples: ["lapidary jobs wait quickstart-1", "lapidary jobs wait quickstart-1 --timeout 600 && lapidary sample quickstart-1 import"],
      run: async (context, args) => (await import("./commands/jobs.js")).waitForJob(context, args.required("id"), args.number("timeout")),
    },
    {
      name: "cancel",
      summary: "cancel a queued or running job, or the jobs of a pipeline that wait",
      arguments: [idArgument],
      examples: ["lapidary jobs cancel quickstart-1", "lapidary jobs cancel assistant-1"],
      run: async (context, args) => (await import("./commands/jobs.js")).cancelJob(context, args.required("id")),
    },
    {
      name: "resume",
      summary: "resume a failed or cancelled job after its last checkpoint, optionally on another mesh or with other workers",
      arguments: [idArgument, overrides],
      examples: ["lapidary jobs resume quickstart-1", "lapidary jobs resume quickstart-1 mesh.data=8 mesh.model=32 zero=1 workers=4"],
      run: async (context, args) => (await import("./commands/jobs.js")).resumeJob(context, args.required("id"), args.list("overrides")),
    },
    {
      name: "events",
      summary: "print the events of a job, one per line",
      arguments: [idArgument],
      options: [{ flags: "-f, --follow", description: "follow until the job ends" }],
      examples: ["lapidary jobs events quickstart-1", "lapidary jobs events quickstart-1 --follow --json"],
      run: async (context, args) => (await import("./commands/jobs.js")).jobEvents(context, args.required("id"), args.flag("follow")),
    },
  ],
};
