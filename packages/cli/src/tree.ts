import type { CommandSpec } from "./command-line/spec.js";
import { dataCommands } from "./data-tree.js";

/**
 * All commands. The code of a command is in `commands/` and is loaded when the command is called, so that the process starts
 * fast.
 */
const run = "Jobs:";
const machine = "The emulated pod:";
const model = "Models and checkpoints:";
const utilities = "Utilities:";

const jobArgument = { name: "job", description: "a job file, such as configs/jobs/quickstart.yaml", completes: "job" } as const;
const overrides = {
  name: "overrides",
  description: "key=value pairs applied after the file, such as train.steps=50",
  optional: true,
  variadic: true,
} as const;
const idArgument = { name: "id", description: "a run, as `lapidary jobs` lists them", completes: "run" } as const;

export const commandTree: CommandSpec = {
  name: "lapidary",
  summary: "Trains Gemma on an emulated TPU pod: one compiled program, run for real by worker processes.",
  examples: [
    "lapidary start                                   train the quick-start job on a 16x16 pod",
    "lapidary up && lapidary launch configs/jobs/quickstart.yaml train.steps=50",
    "lapidary parity e2e/golden/mha --mesh data=2,model=4 --zero 3",
  ],
  commands: [
    {
      name: "start",
      summary: "start everything, train the quick-start job, show the result",
      group: machine,
      arguments: [{ ...overrides, description: "key=value pairs applied to the quick-start job, such as train.steps=50" }],
      run: async (context, args) => (await import("./commands/start.js")).start(context, args.list("overrides")),
    },
    {
      name: "up",
      summary: "start Redis, the coordinator and its workers",
      group: machine,
      options: [
        { flags: "--port <number>", description: "port of the coordinator on 127.0.0.1 (default: a free one)", value: "whole" },
        { flags: "--workers <number>", description: "worker processes (default: one per core)", value: "whole" },
        {
          flags: "--allow-host <name>",
          description: "also answer for this host name, such as the address of a proxy; repeatable (also: LAPIDARY_ALLOW_HOST=NAME,NAME)",
          repeatable: true,
        },
      ],
      run: async (context, args) =>
        (await import("./commands/up.js")).up(context, {
          port: args.number("port"),
          workers: args.number("workers"),
          allowHosts: args.list("allowHost"),
        }),
    },
    {
      name: "down",
      summary: "stop the coordinator, its workers and Redis; running jobs are cancelled",
      group: machine,
      run: async (context) => (await import("./commands/down.js")).down(context),
    },
    {
      name: "status",
      summary: "show the running processes and the job on each chip",
      group: machine,
      run: async (context) => (await import("./commands/status.js")).status(context),
    },
    {
      name: "top",
      summary: "the pods and their jobs, live",
      group: machine,
      options: [{ flags: "--once", description: "print once instead of every second" }],
      run: async (context, args) => (await import("./commands/top.js")).top(context, args.flag("once")),
    },
    {
      name: "doctor",
      summary: "check everything that the set-up provides",
      group: machine,
      run: async (context) => (await import("./commands/doctor.js")).doctor(context),
    },
    {
      name: "setup",
      summary: "provide what doctor checks: all of it, or the named steps again",
      group: machine,
      arguments: [
        {
          name: "steps",
          description: "packages, libtensorflow, redis, kernels; in a checkout also build",
          optional: true,
          variadic: true,
        },
      ],
      examples: ["lapidary setup", "lapidary setup redis kernels"],
      run: async (context, args) => (await import("./commands/setup.js")).setup(context, args.list("steps")),
    },
    {
      name: "launch",
      summary: "submit a job, or a pipeline of jobs, and follow it",
      group: run,
      arguments: [jobArgument, overrides],
      options: [
        { flags: "-d, --detach", description: "submit and return immediately" },
        { flags: "--name <id>", description: "the id of the run or pipeline; launching the same again under this id follows what exists" },
        { flags: "--priority <number>", description: "higher runs first (default 0)", value: "integer" },
        { flags: "--up", description: "start the coordinator if none runs; at a terminal, lapidary asks otherwise" },
        { flags: "--profile", description: "record every call of every step and show where the time went (up to 1,000 steps)" },
        {
          flags: "--tensorboard <dir>",
          description: "write the run's numbers for TensorBoard while it is followed",
          completes: "directory",
          access: "write",
        },
      ],
      examples: [
        "lapidary launch configs/jobs/quickstart.yaml",
        "lapidary launch configs/jobs/quickstart.yaml train.steps=50 mesh.data=8 mesh.model=32 -d --name short",
        "lapidary launch configs/pipelines/two-stage.yaml tuned.train.steps=20",
      ],
      run: async (context, args) =>
        (await import("./commands/launch.js")).launch(context, {
          job: args.required("job"),
          overrides: args.list("overrides"),
          detach: args.flag("detach"),
          name: args.text("name"),
          priority: args.number("priority"),
          up: args.flag("up"),
          profile: args.flag("profile"),
          tensorboard: args.text("tensorboard"),
        }),
    },
    {
      name: "export",
      summary: "write a job for XLA: programs as StableHLO, initial state, data and a runner",
      group: model,
      arguments: [jobArgument, overrides],
      options: [
        { flags: "-o, --output <dir>", description: "the directory to write", completes: "directory", access: "write", mandatory: true },
        {
          flags: "--state <form>",
          description: "export initial states as values, or as an init spec from which run.py draws them (default: values up to 256 MiB)",
          choices: ["values", "init-spec"],
        },
        { flags: "--no-data", description: "export no tokens" },
        {
          flags: "--split-all-reduce",
          description: "split an all_reduce over several axes into one for each axis: for several processes with many CPU devices",
        },
      ],
      examples: [
        "lapidary export configs/jobs/nano16.yaml -o out/nano16 && python3 out/nano16/run.py --text chip --steps 5",
        "lapidary export configs/jobs/gemma-7b.yaml -o out/gemma-7b --no-data",
      ],
      run: async (context, args) =>
        (await import("./commands/export.js")).exportJob(context, {
          job: args.required("job"),
          overrides: args.list("overrides"),
          output: args.required("output"),
          state: args.text("state"),
          data: args.flag("data"),
          splitAllReduce: args.flag("splitAllReduce"),
        }),
    },
    {
      name: "plan",
      summary: "compile a job and time its step on a model of the chips: memory, step time, what bounds it",
      group: run,
      arguments: [jobArgument, overrides],
      options: [
        {
          flags: "-o, --output <form>",
          description: "table (default), json, or html: one page that opens offline",
          choices: ["table", "json", "html"],
        },
        {
          flags: "--search",
          description: "try other meshes, ZeRO stages, rematerialisation, batches and sequence sharding, and rank them",
        },
        {
          flags: "--write <file>",
          description: "with --search: the job file for the best plan",
          completes: "file",
          access: "write",
        },
        { flags: "--chip <name>", description: "a chip of configs/chips instead of the pod's own" },
        { flags: "--program <name>", description: "plan only this program of the job, in detail" },
      ],
      examples: [
        "lapidary plan configs/jobs/gemma-7b.yaml",
        "lapidary plan configs/jobs/gemma-7b-rl.yaml --program rollout_decode",
        "lapidary plan configs/jobs/published/maxtext-16b.yaml pods=4 --json",
        "lapidary plan configs/jobs/gemma-7b.yaml pods=1 train.batch=64 --search",
        "lapidary plan configs/jobs/gemma-2b.yaml -o html > plan.html",
      ],
      run: async (context, args) =>
        (await import("./commands/plan.js")).plan(context, {
          job: args.required("job"),
          overrides: args.list("overrides"),
          output: args.text("output"),
          search: args.flag("search"),
          write: args.text("write"),
          chip: args.text("chip"),
          program: args.text("program"),
        }),
    },
    {
      name: "compile",
      summary: "compile a job with Google's TPU compiler, without a TPU, and compare: memory, collectives, cycles",
      group: run,
      arguments: [{ ...jobArgument, optional: true }, overrides],
      options: [
        { flags: "--chip <name>", description: "v5e, v5p, v6e or v4 instead of the pod's own" },
        {
          flags: "--text <form>",
          description: "whole (default): XLA partitions the step; chip: XLA compiles our partitioned program",
          choices: ["whole", "chip"],
        },
        {
          flags: "--hlo <file>",
          description: "compile again, and write the optimized program of a chip",
          completes: "file",
          access: "write",
        },
        { flags: "--install", description: "install the compiler (1.1 GB), or repair it; asks whether you agree to its licence" },
        { flags: "--yes", description: "with --install: agree without a question" },
      ],
      examples: [
        "lapidary compile --install",
        "lapidary compile configs/jobs/nano16.yaml",
        "lapidary compile configs/jobs/nano16.yaml --text chip --json",
        "lapidary compile e2e/golden/stablehlo/mlp_explicit8/step.mlir",
      ],
      run: async (context, args) =>
        (await import("./commands/compile.js")).compileForTpu(context, {
          job: args.text("job"),
          overrides: args.list("overrides"),
          chip: args.text("chip"),
          text: args.text("text"),
          hlo: args.text("hlo"),
          install: args.flag("install"),
          yes: args.flag("yes"),
        }),
    },
    {
      name: "trace",
      summary: "write a step as a trace that Perfetto opens: predicted for a job, measured for a run",
      group: run,
      arguments: [{ name: "subject", description: "a job file, or a run", completes: "job" }, overrides],
      options: [
        { flags: "-o, --output <file>", description: "the file to write", completes: "file", access: "write", mandatory: true },
        { flags: "--diff", description: "for a run: a measured step and the predicted step" },
        { flags: "--chip <name>", description: "a chip of configs/chips instead of the pod's own" },
        { flags: "--program <name>", description: "for a job: this program of the job; the step program by default" },
      ],
      examples: ["lapidary trace configs/jobs/gemma-7b.yaml -o step.json", "lapidary trace quickstart-1 --diff -o both.json"],
      run: async (context, args) =>
        (await import("./commands/trace.js")).trace(context, {
          subject: args.required("subject"),
          overrides: args.list("overrides"),
          output: args.required("output"),
          diff: args.flag("diff"),
          chip: args.text("chip"),
          program: args.text("program"),
        }),
    },
    {
      name: "explain",
      summary: "explain the shardings and collectives of a program",
      group: run,
      arguments: [
        jobArgument,
        { name: "words", description: "the name of a value, and key=value overrides", optional: true, variadic: true },
      ],
      options: [
        {
          flags: "--stage <name>",
          description: "print the program after a stage",
          choices: ["trace", "rematerialize", "propagate", "partition", "optimize", "schedule"],
        },
        { flags: "--diff <job>", description: "compare with another job: shardings and collectives", completes: "job" },
        {
          flags: "--compare <backend>",
          description: "compare with the program of a reference backend: Shardy's passes, or XLA",
          choices: ["shardy", "xla"],
        },
        { flags: "--program <name>", description: "explain this program of the job; the step program by default" },
      ],
      examples: [
        "lapidary explain configs/jobs/nano16.yaml",
        "lapidary explain e2e/golden/stablehlo/llama_fsdp8/step.loc.mlir",
        "lapidary explain configs/jobs/gemma-7b-rl.yaml --program rollout_decode",
        "lapidary explain configs/jobs/nano16.yaml params/model.layers.0.mlp.down_proj.weight",
      ],
      run: async (context, args) =>
        (await import("./commands/explain.js")).explain(context, {
          job: args.required("job"),
          words: args.list("words"),
          stage: args.text("stage"),
          diff: args.text("diff"),
          compare: args.text("compare"),
          program: args.text("program"),
        }),
    },
    {
      name: "jobs",
      summary: "list, inspect, wait for and cancel jobs",
      group: run,
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
          run: async (context, args) =>
            (await import("./commands/jobs.js")).listJobs(context, { state: args.text("state"), limit: args.number("limit") }),
        },
        {
          name: "get",
          summary: "one job: state, slice, loss, and its report once it is done; or a pipeline and its jobs",
          arguments: [idArgument],
          run: async (context, args) => (await import("./commands/jobs.js")).getJob(context, args.required("id")),
        },
        {
          name: "wait",
          summary: "wait until a job ends; exit codes: 0 done, 100 failed, 103 cancelled, 101 not finished in time",
          arguments: [idArgument],
          options: [{ flags: "--timeout <seconds>", description: "maximum time to wait", value: "seconds" }],
          run: async (context, args) =>
            (await import("./commands/jobs.js")).waitForJob(context, args.required("id"), args.number("timeout")),
        },
        {
          name: "cancel",
          summary: "cancel a queued or running job, or the jobs of a pipeline that wait",
          arguments: [idArgument],
          run: async (context, args) => (await import("./commands/jobs.js")).cancelJob(context, args.required("id")),
        },
        {
          name: "resume",
          summary: "resume a failed or cancelled job after its last checkpoint, optionally on another mesh or with other workers",
          arguments: [idArgument, overrides],
          examples: ["lapidary jobs resume quickstart-1", "lapidary jobs resume quickstart-1 mesh.data=8 mesh.model=32 zero=1 workers=4"],
          run: async (context, args) =>
            (await import("./commands/jobs.js")).resumeJob(context, args.required("id"), args.list("overrides")),
        },
        {
          name: "events",
          summary: "print the events of a job, one per line",
          arguments: [idArgument],
          options: [{ flags: "-f, --follow", description: "follow until the job ends" }],
          run: async (context, args) => (await import("./commands/jobs.js")).jobEvents(context, args.required("id"), args.flag("follow")),
        },
      ],
    },
    {
      name: "logs",
      summary: "print the log of the coordinator and the workers for a job",
      group: run,
      arguments: [idArgument],
      options: [
        { flags: "-f, --follow", description: "follow until the job ends" },
        { flags: "--worker <number>", description: "only this worker", value: "whole" },
      ],
      run: async (context, args) =>
        (await import("./commands/logs.js")).logs(context, {
          id: args.required("id"),
          follow: args.flag("follow"),
          worker: args.number("worker"),
        }),
    },
    {
      name: "export-run",
      summary: "export a run: as one HTML page, for TensorBoard, or as rows of JSON",
      group: run,
      arguments: [idArgument],
      options: [
        {
          flags: "-o, --output <file>",
          description: "the dashboard of this run as one HTML file that needs no server",
          completes: "file",
          access: "write",
        },
        {
          flags: "--tensorboard <dir>",
          description: "event files for TensorBoard, in a directory of the run's name",
          completes: "directory",
          access: "write",
        },
        { flags: "--jsonl <file>", description: "rows of metrics, one JSON object a line", completes: "file", access: "write" },
      ],
      examples: [
        "lapidary export-run quickstart-1 -o run.html",
        "lapidary export-run quickstart-1 --tensorboard runs && tensorboard --logdir runs",
      ],
      run: async (context, args) =>
        (await import("./commands/export-run.js")).exportRun(context, {
          id: args.required("id"),
          output: args.text("output"),
          tensorboard: args.text("tensorboard"),
          jsonl: args.text("jsonl"),
        }),
    },
    {
      name: "parity",
      summary: "compare Lapidary with golden runs of PyTorch, TRL, PEFT and JAX, on any mesh",
      group: model,
      arguments: [
        {
          name: "dir",
          description: "a parity bundle, such as e2e/golden/mha, e2e/golden/post/mqa or e2e/golden/stablehlo/llama_fsdp8",
          completes: "directory",
        },
        { ...overrides, description: "key=value pairs of rules, context and moe, such as context.strategy=heads" },
      ],
      options: [
        { flags: "--mesh <axes>", description: "mesh axes, major to minor (default data=1)" },
        { flags: "--strategy <name>", description: "rules and ZeRO stage of a file of configs/strategies (default: those of a job)" },
        { flags: "--torus <shape>", description: "chips along each dim, such as 16x16 (default: as the mesh needs)" },
        {
          flags: "--zero <stage>",
          description: "sharded over data: 1 optimizer state, 2 also gradients, 3 also parameters",
          choices: ["0", "1", "2", "3"],
        },
        { flags: "--numerics <mode>", description: "f32 multiplies exactly, mxu in bf16 as a TPU does", choices: ["f32", "mxu"] },
        {
          flags: "--workers <number>",
          description: "worker processes (default: one per core, as far as the mesh divides)",
          value: "whole",
        },
        {
          flags: "--executor <kind>",
          description: "stacked runs all chips of a worker together, chipwise one by one",
          choices: ["stacked", "chipwise"],
        },
        { flags: "--loss-chunks <number>", description: "pieces of the sequence in which losses are computed (default 1)", value: "whole" },
        {
          flags: "--microbatches <number>",
          description: "parts of a batch whose gradients are added before the update (default 1)",
          value: "whole",
        },
        {
          flags: "--part <names>",
          description:
            "of a bundle of post-training, only these, separated by commas: chat, sft, lora, reward, dpo, rollout, rloo, grpo, ppo, generation",
        },
      ],
      examples: [
        "lapidary parity e2e/golden/pod16x16 --torus 16x16 --mesh data=16,model=16 --zero 3",
        "lapidary parity e2e/golden/mqa --mesh data=2 --zero 1 --workers 2",
        "lapidary parity e2e/golden/mha --mesh data=2,context=2,model=2 --strategy context context.strategy=heads",
        "lapidary parity e2e/golden/post/pod16x16 --torus 16x16 --mesh data=16,model=16 --zero 3 --part dpo,grpo",
      ],
      run: async (context, args) =>
        (await import("./commands/parity.js")).parity(context, {
          directory: args.required("dir"),
          mesh: args.text("mesh"),
          torus: args.text("torus"),
          zero: args.text("zero"),
          numerics: args.text("numerics"),
          workers: args.number("workers"),
          executor: args.text("executor"),
          lossChunks: args.number("lossChunks"),
          microbatches: args.number("microbatches"),
          strategy: args.text("strategy"),
          overrides: args.list("overrides"),
          part: args.text("part"),
        }),
    },
    {
      name: "sample",
      summary: "generate texts from a run's checkpoint",
      group: model,
      arguments: [
        { name: "from", description: "a run, or the directory of a checkpoint", completes: "run" },
        { name: "prompts", description: "the texts to continue; a text may be empty", variadic: true },
      ],
      options: [
        { flags: "--n <number>", description: "texts for each prompt (default 1)", value: "whole" },
        { flags: "--chat", description: "a prompt is a message of a user, in Gemma's chat template" },
        { flags: "--tokens <number>", description: "maximum number of tokens to generate for each text (default 64)", value: "whole" },
        { flags: "--max-tokens <number>", description: "another name of --tokens", value: "whole" },
        {
          flags: "--temperature <number>",
          description: "0 takes the likeliest token, 1 samples from the distribution of the model (default 0.8)",
          value: "decimal",
        },
        {
          flags: "--top-p <number>",
          description: "draw from the likeliest tokens that hold this much probability (default 0.95)",
          value: "decimal",
        },
        { flags: "--top-k <number>", description: "draw from this many likeliest tokens (default: all)", value: "whole" },
        {
          flags: "--seed <number>",
          description: "the same seed draws the same text; each further text has the next seed (default 0)",
          value: "whole",
        },
      ],
      examples: [
        'lapidary sample quickstart-1 "The function returns"',
        'lapidary sample ./gemma-2b "Once upon a time" --temperature 0 --tokens 20',
        'lapidary sample ./gemma-2b-it "Name a metal." "Name a gem." --chat --n 4 --json',
      ],
      run: async (context, args) =>
        (await import("./commands/sample.js")).sample(context, {
          from: args.required("from"),
          prompts: args.list("prompts"),
          n: args.number("n"),
          chat: args.flag("chat"),
          tokens: args.number("tokens"),
          maxTokens: args.number("maxTokens"),
          temperature: args.number("temperature"),
          topP: args.number("topP"),
          topK: args.number("topK"),
          seed: args.number("seed"),
        }),
    },
    {
      name: "serve",
      summary: "serve a model on this machine with the chat and completions API of OpenAI, until Ctrl-C",
      group: model,
      arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
      options: [
        { flags: "--port <number>", description: "port of the server on 127.0.0.1 (default: a free one)", value: "whole" },
        {
          flags: "--batch <number>",
          description: "texts that the model generates together; further requests wait (default 8)",
          value: "whole",
        },
        {
          flags: "--allow-host <name>",
          description: "also answer for this host name, such as the address of a proxy; repeatable",
          repeatable: true,
        },
      ],
      examples: ["lapidary serve quickstart-1", "lapidary serve ./gemma-2b-it --port 8080"],
      run: async (context, args) =>
        (await import("./commands/serve.js")).serve(context, {
          from: args.required("from"),
          port: args.number("port"),
          batch: args.number("batch"),
          allowHosts: args.list("allowHost"),
        }),
    },
    {
      name: "compare",
      summary: "compare the answers of two models to held-out prompts",
      group: model,
      arguments: [
        { name: "candidate", description: "a run, or the directory of a checkpoint", completes: "run" },
        { name: "baseline", description: "the model to compare with: a run or a directory", completes: "run" },
      ],
      options: [
        {
          flags: "--data <file>",
          description: "held-out examples as JSON lines; repeatable, with a report for each file",
          completes: "file",
          access: "read",
          repeatable: true,
          mandatory: true,
        },
        {
          flags: "--checker <checker>",
          description: "score answers by exact, regex, number, json-schema, sorted, a module (./check.mjs) or settings as JSON",
        },
        { flags: "--judge <model>", description: "ask a model which answer is better: a run or a directory" },
        {
          flags: "--template <file>",
          description: "the question to the judge, with {{prompt}}, {{answer_a}} and {{answer_b}}",
          completes: "file",
          access: "read",
        },
        { flags: "--verdicts <file>", description: "verdicts of people as JSON lines: id, verdict", completes: "file", access: "read" },
        {
          flags: "--orders <orders>",
          description: "the judge sees both orders of the answers (default), or one that a coin decides",
          choices: ["both", "shuffled"],
        },
        { flags: "--max-tokens <number>", description: "maximum number of tokens of an answer (default 128)", value: "whole" },
        {
          flags: "--temperature <number>",
          description: "0 takes the likeliest token (default), 1 samples from the model",
          value: "decimal",
        },
        { flags: "--seed <number>", description: "the same seed gives the same answers and orders (default 0)", value: "whole" },
        { flags: "--rows <number>", description: "use only the first rows of each file", value: "whole" },
        {
          flags: "--out <file>",
          description: "all prompts, answers and verdicts as JSON lines",
          completes: "file",
          access: "write",
        },
      ],
      examples: [
        "lapidary compare mine-rl mine-sft --data held.jsonl --checker sorted",
        "lapidary compare mine-rl mine-sft --data held.jsonl --judge ./gemma-2b --template rubric.md --out rows.jsonl",
        "lapidary compare mine-law ./gemma-2b --data law.jsonl --data general.jsonl",
      ],
      run: async (context, args) =>
        (await import("./commands/compare.js")).compare(context, {
          candidate: args.required("candidate"),
          baseline: args.required("baseline"),
          data: args.list("data"),
          checker: args.text("checker"),
          judge: args.text("judge"),
          template: args.text("template"),
          verdicts: args.text("verdicts"),
          orders: args.text("orders"),
          maxTokens: args.number("maxTokens"),
          temperature: args.number("temperature"),
          seed: args.number("seed"),
          rows: args.number("rows"),
          output: args.text("out"),
        }),
    },
    {
      name: "ckpt",
      summary: "list, inspect, verify and export checkpoints",
      group: model,
      commands: [
        {
          name: "list",
          summary: "checkpoints of a run, or of all",
          arguments: [{ ...idArgument, optional: true }],
          run: async (context, args) => (await import("./commands/ckpt.js")).listCheckpoints(context, args.text("id")),
        },
        {
          name: "inspect",
          summary: "the tensors of a checkpoint",
          arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
          run: async (context, args) => (await import("./commands/ckpt.js")).inspectCheckpoint(context, args.required("from")),
        },
        {
          name: "verify",
          summary: "read every tensor and check it",
          arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
          run: async (context, args) => (await import("./commands/ckpt.js")).verifyCheckpoint(context, args.required("from")),
        },
        {
          name: "export",
          summary: "write a directory that Hugging Face transformers loads",
          arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
          options: [
            {
              flags: "-o, --output <dir>",
              description: "the directory to write",
              completes: "directory",
              access: "write",
              mandatory: true,
            },
          ],
          run: async (context, args) =>
            (await import("./commands/ckpt.js")).exportCheckpoint(context, args.required("from"), args.required("output")),
        },
      ],
    },
    dataCommands,
    {
      name: "config",
      summary: "show and check job files",
      group: utilities,
      commands: [
        {
          name: "show",
          summary: "a job file with everything resolved: defaults, model, pod, overrides",
          arguments: [jobArgument, overrides],
          run: async (context, args) =>
            (await import("./commands/config.js")).showConfig(context, args.required("job"), args.list("overrides")),
        },
        {
          name: "schema",
          summary: "the JSON Schema of job files",
          options: [{ flags: "--pipeline", description: "of pipeline files instead" }],
          run: async (context, args) => (await import("./commands/config.js")).showSchema(context, args.flag("pipeline")),
        },
        {
          name: "validate",
          summary: "check job files and pipeline files, and the corpus and checkpoint that they name",
          arguments: [{ name: "files", description: "job files", variadic: true, completes: "job" }],
          run: async (context, args) => (await import("./commands/config.js")).validateConfigs(context, args.list("files")),
        },
      ],
    },
    {
      name: "completion",
      summary: "print a completion script for a shell",
      group: utilities,
      arguments: [{ name: "shell", description: "your shell", choices: ["bash", "zsh", "fish"] }],
      examples: ["source <(lapidary completion bash)", "lapidary completion fish > ~/.config/fish/completions/lapidary.fish"],
      run: async (context, args) => (await import("./commands/completion.js")).completion(context, commandTree, args.required("shell")),
    },
    {
      name: "help",
      summary: "explain a command, as its --help does",
      group: utilities,
      arguments: [{ name: "command", description: "a command, such as launch or jobs resume", optional: true, variadic: true }],
      examples: ["lapidary help plan", "lapidary help jobs resume"],
      explains: true,
    },
    {
      name: "version",
      summary: "print the version of lapidary and Node, and the platform",
      group: utilities,
      run: async (context) => (await import("./commands/version.js")).version(context),
    },
  ],
};
