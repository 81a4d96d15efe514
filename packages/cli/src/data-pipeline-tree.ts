import type { CommandSpec, OptionSpec } from "./command-line/spec.js";

const pipelineFile = { name: "file", description: "a pipeline file", completes: "file" } as const;
const dataArgument = {
  name: "data",
  description: "a pipeline file or its output directory (default: the pipeline that ran last)",
  completes: "file",
  optional: true,
} as const;
const dataOption: OptionSpec = {
  flags: "--data <path>",
  description: "a pipeline file or its output directory (default: the pipeline that ran last)",
  completes: "file",
  access: "read",
};

/** The commands of pipelines of training data: `lapidary data run …`. */
export const pipelineCommands: readonly CommandSpec[] = [
  {
    name: "run",
    summary: "make training data of the sources of a pipeline file; goes on where an interrupted run stopped",
    arguments: [pipelineFile],
    options: [
      { flags: "--workers <number>", description: "processes that compute (default: one for each core)", value: "whole" },
      {
        flags: "--redis <url>",
        description:
          "give the tasks to the workers of this Redis, see `data worker`; auto: REDIS_URL, or the private server of the state directory",
      },
      {
        flags: "--store <place>",
        description: "where the outputs of stages are: a directory, or s3://bucket/prefix (default: `store` of the file, else its `out`)",
      },
      { flags: "--check", description: "also compare every stored byte with its account, and fail if a stage changed nothing" },
    ],
    examples: ["lapidary data run configs/data/installed-docs.yaml", "lapidary data run pipeline.yaml --workers 8 --check --json"],
    run: async (context, args) =>
      (await import("./commands/data-pipeline.js")).runData(context, {
        file: args.required("file"),
        workers: args.number("workers"),
        redis: args.text("redis"),
        store: args.text("store"),
        check: args.flag("check"),
      }),
  },
  {
    name: "fetch",
    summary: "download the packages that are sources of a pipeline file, and check their digests; continues after an interruption",
    arguments: [pipelineFile],
    examples: ["lapidary data fetch configs/data/packages.yaml"],
    run: async (context, args) => (await import("./commands/data-pipeline.js")).fetchData(context, args.required("file")),
  },
  {
    name: "worker",
    summary: "compute tasks of `data run --redis`, on any host that reaches the sources and the store; Ctrl-C ends it",
    options: [
      {
        flags: "--redis <url>",
        description: "the Redis of the planner (default: auto: REDIS_URL, or the private server of the state directory)",
      },
      { flags: "--cores <number>", description: "processes that compute (default: one for each core)", value: "whole" },
    ],
    examples: ["lapidary data worker --redis redis://10.0.0.5:6379 --cores 16", "lapidary data worker --cores 2"],
    run: async (context, args) =>
      (await import("./commands/data-worker.js")).runDataWorker(context, { redis: args.text("redis"), cores: args.number("cores") }),
  },
  {
    name: "status",
    summary: "how far a pipeline is: shards, documents and losses of each stage",
    arguments: [dataArgument],
    examples: ["lapidary data status", "lapidary data status pipeline.yaml --json"],
    run: async (context, args) => (await import("./commands/data-pipeline.js")).showDataStatus(context, args.text("data")),
  },
  {
    name: "card",
    summary:
      "sources, licences, losses with examples and limits of a dataset, as Markdown; also writes card.md, card.json and the page card.html",
    arguments: [dataArgument],
    examples: ["lapidary data card", "lapidary data card ./data/v3 --json"],
    run: async (context, args) => (await import("./commands/data-pipeline.js")).showDataCard(context, args.text("data")),
  },
  {
    name: "whatif",
    summary: "which documents would stay under a changed rule, from the stored measures",
    arguments: [{ name: "rule", description: "a limit such as 'gopher.words_min = 40', or 'NAME = CONDITION'" }],
    options: [dataOption],
    examples: [
      "lapidary data whatif 'gopher.words_min = 40'",
      "lapidary data whatif 'quality = quality.prose < 0.5' --data ./data/v3 --json",
    ],
    run: async (context, args) =>
      (await import("./commands/data-pipeline.js")).showWhatIf(context, args.required("rule"), args.text("data")),
  },
  {
    name: "why",
    summary: "what each stage did with a document",
    arguments: [{ name: "document", description: "an id or its first digits, the identifier in its file, or FILE:PLACE" }],
    options: [dataOption],
    examples: ["lapidary data why 001d1a1cffd0", "lapidary data why 'a.jsonl:line 3' --data pipeline.yaml"],
    run: async (context, args) =>
      (await import("./commands/data-pipeline.js")).showWhy(context, args.required("document"), args.text("data")),
  },
  {
    name: "diff",
    summary: "how two published datasets differ: settings, sources, documents",
    arguments: [
      { name: "before", description: "an output directory or a pipeline file", completes: "file" },
      { name: "after", description: "an output directory or a pipeline file", completes: "file" },
    ],
    examples: ["lapidary data diff ./data/v2 ./data/v3"],
    run: async (context, args) =>
      (await import("./commands/data-pipeline.js")).showDataDiff(context, args.required("before"), args.required("after")),
  },
  {
    name: "gc",
    summary: "remove stored objects that no pipeline of the store needs",
    arguments: [dataArgument],
    options: [
      { flags: "--dry-run", description: "only count them" },
      { flags: "--forget <id>", description: "also remove what only this other pipeline needed, which exists no more" },
    ],
    examples: ["lapidary data gc --dry-run", "lapidary data gc ./data/v3"],
    run: async (context, args) =>
      (await import("./commands/data-pipeline.js")).collectData(context, args.text("data"), args.flag("dryRun"), args.text("forget")),
  },
];
