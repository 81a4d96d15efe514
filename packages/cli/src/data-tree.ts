import type { CommandSpec } from "./command-line/spec.js";
import { pipelineCommands } from "./data-pipeline-tree.js";

const examplesArgument = {
  name: "file",
  description: "JSON lines or one JSON array; may be compressed by gzip or zstd",
  completes: "file",
} as const;
const exampleFormat = {
  flags: "--format <name>",
  description: "the format of all rows (default: the keys of the rows decide)",
  choices: ["messages", "sharegpt", "completion", "alpaca", "preference", "prompt", "text"],
} as const;

/** `lapidary data …`. */
export const dataCommands: CommandSpec = {
  name: "data",
  summary: "make training data by pipelines; show, check and filter files of examples for post-training",
  group: "Utilities:",
  examples: ["lapidary data run configs/data/installed-docs.yaml", "lapidary data check demos.jsonl"],
  commands: [
    ...pipelineCommands,
    {
      name: "show",
      summary: "the tokens of a row with their training mask, and the rows that are refused",
      arguments: [examplesArgument],
      options: [
        {
          flags: "--tokenizer <from>",
          description: "a file or directory with a tokenizer, or a run (default: bytes of UTF-8)",
          completes: "run",
        },
        exampleFormat,
        { flags: "--row <number>", description: "the row, counted from 1 (default: the first example)", value: "whole" },
        { flags: "--rows <range>", description: "the first and the last row, such as 3-5" },
      ],
      examples: ["lapidary data show demos.jsonl --row 4", "lapidary data show pairs.jsonl --tokenizer ./gemma-2b --rows 1-3 --json"],
      run: async (context, args) =>
        (await import("./commands/data.js")).showData(context, {
          file: args.required("file"),
          tokenizer: args.text("tokenizer"),
          format: args.text("format"),
          row: args.number("row"),
          rows: args.text("rows"),
        }),
    },
    {
      name: "check",
      summary: "count the rows of a file, and print each refused row; exit codes: 0 all are examples, 2 some are refused",
      arguments: [examplesArgument],
      options: [exampleFormat],
      examples: ["lapidary data check demos.jsonl", "lapidary data check prompts.jsonl.gz --format prompt --json"],
      run: async (context, args) =>
        (await import("./commands/data.js")).checkData(context, { file: args.required("file"), format: args.text("format") }),
    },
    {
      name: "classifier",
      summary: "train a classifier of unsafe texts from labelled rows",
      arguments: [{ name: "files", description: "examples with a column label: unsafe or safe", variadic: true, completes: "file" }],
      options: [
        { flags: "-o, --output <file>", description: "the classifier", completes: "file", access: "write", mandatory: true },
        {
          flags: "--precision <number>",
          description: "share of unsafe texts among the removed ones, on held-out rows (default 0.95)",
          value: "decimal",
        },
        { flags: "--seed <number>", description: "the same seed gives the same classifier (default 0)", value: "whole" },
      ],
      examples: [
        "lapidary data classifier labelled.jsonl -o unsafe.json",
        "lapidary data classifier a.jsonl b.jsonl --precision 0.99 -o unsafe.json",
      ],
      run: async (context, args) =>
        (await import("./commands/data-classifier.js")).trainDataClassifier(context, {
          files: args.list("files"),
          output: args.required("output"),
          precision: args.number("precision"),
          seed: args.number("seed"),
        }),
    },
    {
      name: "train-filter",
      summary: "train a model of quality, kind or safety from labelled rows, for the stage `measure` of pipelines",
      arguments: [
        { name: "files", description: "JSON lines with text, label and, to test new sources, source", variadic: true, completes: "file" },
      ],
      options: [
        { flags: "-o, --output <file>", description: "the model", completes: "file", access: "write", mandatory: true },
        { flags: "--label <key>", description: "the key of a row that has its label (default: label)" },
        {
          flags: "--features <name>",
          description: "layout: measures of lines and characters (default), for new sources too; words: runs of 1 and 2 words",
          choices: ["layout", "words"],
        },
        { flags: "--seed <number>", description: "the same seed gives the same model (default 0)", value: "whole" },
      ],
      examples: [
        "lapidary data train-filter labelled.jsonl -o kind.json",
        "lapidary data train-filter unsafe.jsonl --features words -o safety.json",
      ],
      run: async (context, args) =>
        (await import("./commands/data-train-filter.js")).trainDataFilter(context, {
          files: args.list("files"),
          output: args.required("output"),
          label: args.text("label"),
          features: args.text("features"),
          seed: args.number("seed"),
        }),
    },
    {
      name: "filter",
      summary: "remove rows that a model should not be trained on",
      arguments: [examplesArgument],
      options: [
        {
          flags: "--filters <names>",
          description: "schema, pii, unsafe, identity, duplicates, contamination, in this order (default: all that apply)",
        },
        {
          flags: "--against <file>",
          description: "an evaluation set for the filter contamination; repeatable",
          completes: "file",
          access: "read",
          repeatable: true,
        },
        {
          flags: "--classifier <file>",
          description: "a classifier of unsafe texts, which `lapidary data classifier` wrote",
          completes: "file",
          access: "read",
        },
        {
          flags: "--own <name>",
          description: "a name or maker of the trained model, for the filter identity; repeatable",
          repeatable: true,
        },
        { flags: "-o, --output <file>", description: "the kept rows", completes: "file", access: "write", mandatory: true },
        { flags: "--removed <file>", description: "the removed rows with code and reason", completes: "file", access: "write" },
      ],
      examples: [
        "lapidary data filter demos.jsonl -o clean.jsonl --removed removed.jsonl",
        "lapidary data filter demos.jsonl --filters schema,pii,contamination --against held.jsonl -o clean.jsonl",
      ],
      run: async (context, args) =>
        (await import("./commands/data-filter.js")).filterData(context, {
          file: args.required("file"),
          filters: args.text("filters"),
          against: args.list("against"),
          own: args.list("own"),
          classifier: args.text("classifier"),
          output: args.required("output"),
          removed: args.text("removed"),
        }),
    },
    {
      name: "tokenizer",
      summary: "train a tokenizer on text files: a SentencePiece model with the settings of Gemma's tokenizer",
      arguments: [{ name: "files", description: "text files in UTF-8", variadic: true, completes: "file" }],
      options: [
        { flags: "-o, --output <file>", description: "the model", completes: "file", access: "write", mandatory: true },
        { flags: "--vocab <number>", description: "number of ids (default 32000)", value: "whole" },
        { flags: "--bytes <number>", description: "read at most the first bytes of the files (default 2 GB)", value: "whole" },
      ],
      examples: [
        "lapidary data tokenizer corpus.txt --vocab 32000 -o tokenizer.model",
        "lapidary data tokenizer a.txt b.txt --bytes 100000000 -o tokenizer.model",
      ],
      run: async (context, args) =>
        (await import("./commands/data-tokenizer.js")).trainDataTokenizer(context, {
          files: args.list("files"),
          output: args.required("output"),
          vocab: args.number("vocab"),
          bytes: args.number("bytes"),
        }),
    },
    {
      name: "bench",
      summary: "the speed of each stage of a data pipeline on one core, in MB of text a second",
      options: [
        { flags: "--stage <name>", description: "only this stage, such as filters or tokenize; repeatable", repeatable: true },
        {
          flags: "--in <directory>",
          description: "texts: JSON lines, Parquet, WARC, HTML or text (default: the texts of e2e/golden/data)",
          completes: "directory",
          access: "read",
        },
        {
          flags: "--mb <number>",
          description: "repeat the texts with changes up to this size (default 16; with --in: once)",
          value: "whole",
        },
        { flags: "--out <directory>", description: "keep what the stages write", completes: "directory", access: "write" },
        {
          flags: "--tokenizer <file>",
          description: "a SentencePiece model (default: 256,000 pieces, trained on the texts)",
          completes: "file",
          access: "read",
        },
        {
          flags: "--peer <python>",
          description: "a Python with datatrove and sentencepiece: they run in turn with ours",
          completes: "file",
          access: "read",
        },
        { flags: "--repeat <number>", description: "repetitions; the median counts (default 1; with --peer 3)", value: "whole" },
      ],
      examples: ["lapidary data bench --stage filters --stage tokenize --mb 100", "lapidary data bench --peer ./venv/bin/python --json"],
      run: async (context, args) =>
        (await import("./commands/data-bench.js")).benchDataStages(context, {
          stages: args.list("stage"),
          input: args.text("in"),
          megabytes: args.number("mb"),
          output: args.text("out"),
          tokenizer: args.text("tokenizer"),
          peer: args.text("peer"),
          repetitions: args.number("repeat"),
        }),
    },
    {
      name: "where",
      summary: "the steps of a run that trained on a document",
      arguments: [
        { name: "document", description: "the id of a document, or its first digits" },
        { name: "run", description: "a run whose job has data.pipeline", completes: "run" },
      ],
      examples: ["lapidary data where 3fa41c09 mixed-1", "lapidary data where 3fa41c09 mixed-1 --json"],
      run: async (context, args) =>
        (await import("./commands/data-trace.js")).whereData(context, { document: args.required("document"), run: args.required("run") }),
    },
    {
      name: "at",
      summary: "what was in the batch of a step of a run: sources, documents, text",
      arguments: [
        { name: "run", description: "a run whose job has data.pipeline", completes: "run" },
        { name: "step", description: "the step, counted from 1" },
      ],
      examples: ["lapidary data at mixed-1 1234", "lapidary data at mixed-1 1234 --json"],
      run: async (context, args) =>
        (await import("./commands/data-trace.js")).dataAt(context, { run: args.required("run"), step: args.required("step") }),
    },
    {
      name: "memorise",
      summary: "how much of its training data a run recites, by source and by passes; canaries by their number of copies",
      arguments: [{ name: "run", description: "a run, or the directory of a checkpoint", completes: "run" }],
      options: [
        {
          flags: "--set <file>",
          description: "test these texts: JSON lines with text, times (copies in the corpus) and, if it has one, secret",
          completes: "file",
          access: "read",
        },
        {
          flags: "--from <directory>",
          description: "test documents of this output of a pipeline (default: those that the run trains on)",
          completes: "directory",
          access: "read",
        },
        { flags: "--documents <number>", description: "documents of each source (default 100)", value: "whole" },
        { flags: "--prompt <number>", description: "tokens of a text that the model is given (default 50)", value: "whole" },
        { flags: "--continuation <number>", description: "tokens that it then generates (default 50)", value: "whole" },
        { flags: "--values <number>", description: "other values that the secret of a text is compared with (default 31)", value: "whole" },
        { flags: "--seed <number>", description: "the same seed tests the same documents (default 0)", value: "whole" },
      ],
      examples: ["lapidary data memorise mixed-1", "lapidary data memorise mixed-1 --set canaries.jsonl --json"],
      run: async (context, args) =>
        (await import("./commands/data-memorise.js")).memoriseData(context, {
          run: args.required("run"),
          set: args.text("set"),
          from: args.text("from"),
          documents: args.number("documents"),
          prompt: args.number("prompt"),
          continuation: args.number("continuation"),
          values: args.number("values"),
          seed: args.number("seed"),
        }),
    },
    {
      name: "ablate",
      summary: "train small models on mixtures of the sources of a pipeline, and recommend a mixture",
      arguments: [{ name: "file", description: "the sizes, mixtures and seeds of an ablation", completes: "file" }],
      options: [
        {
          flags: "--pipeline <directory>",
          description: "the sources, instead of those of the file",
          completes: "directory",
          access: "read",
        },
        { flags: "--name <name>", description: "the name of the pipeline of its runs; the same name continues" },
        {
          flags: "-o, --output <file>",
          description: "the report as JSON, or as a page with charts if it ends in .html",
          completes: "file",
          access: "write",
        },
      ],
      examples: ["lapidary data ablate configs/ablations/small.yaml --pipeline ./data/v3", "lapidary data ablate mine.yaml -o report.html"],
      run: async (context, args) =>
        (await import("./commands/data-ablate.js")).ablateData(context, {
          file: args.required("file"),
          pipeline: args.text("pipeline"),
          name: args.text("name"),
          output: args.text("output"),
        }),
    },
    {
      name: "judge",
      summary: "answer the questions of a directory of fixtures, for its judge.py",
      arguments: [
        { name: "task", description: "a task of judge.py, such as memorisation" },
        { name: "fixtures", description: "the directory of judge.py", completes: "directory" },
      ],
      options: [{ flags: "-o, --output <file>", description: "the answers", completes: "file", access: "write", mandatory: true }],
      examples: [
        "lapidary data judge memorisation e2e/golden/data -o answers.jsonl",
        "lapidary data judge pii e2e/golden/data -o pii.jsonl",
      ],
      run: async (context, args) =>
        (await import("./commands/data-judge.js")).judgeData(context, {
          task: args.required("task"),
          fixtures: args.required("fixtures"),
          output: args.required("output"),
        }),
    },
  ],
};
