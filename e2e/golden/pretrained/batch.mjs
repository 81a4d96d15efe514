// Prints the first batch of job.yaml as JSON: `make_pretrained.py` computes its loss.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepareDataset } from "@lapidary/data";
import { corpusOf, loadJob, tokenizerRequest } from "@lapidary/training";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const cacheDir = mkdtempSync(join(tmpdir(), "lapidary-golden-"));
try {
  const job = loadJob(join(here, "job.yaml"), [], { configsDir: join(root, "configs"), base: root });
  const dataset = await prepareDataset({
    corpus: corpusOf(job, root),
    tokenizer: tokenizerRequest(job),
    heldOutFraction: job.data.held_out,
    cacheDir,
  });
  const { batch, seq } = job.train;
  const { rows, tokens, targets, mask } = dataset.batch({ split: "train", seed: job.seed, step: 0, batch, seq });
  dataset.close();
  console.log(JSON.stringify({ rows, seq, tokens: [...tokens], targets: [...targets], mask: [...mask] }));
} finally {
  rmSync(cacheDir, { recursive: true, force: true });
}
