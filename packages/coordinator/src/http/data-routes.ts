import type { S3Access } from "@lapidary/data-store";
import { datasetCard, hasPlanFile, type KnownDataset, knownDatasets, type RuleEffect, whatIf } from "@lapidary/data-pipeline";
import { LapidaryError, suggest } from "@lapidary/std";
import { type DatasetCard, type DatasetList, type DatasetSummary, whatIfRequestSchema } from "@lapidary/api/data-view";
import { standalonePage } from "@lapidary/api/standalone-page";
import type { FastifyInstance } from "fastify";
import { asLapidaryError, readRequest } from "./errors.js";
import { noPage, type PageFiles } from "./page-files.js";

const shownIds = 20;

/** The routes of `data-view.ts`. @param home the state directory, which knows the outputs of pipelines; `s3` is for stores in an S3-compatible server */
export function addDataRoutes(server: FastifyInstance, home: string, s3: S3Access | undefined, page: PageFiles | undefined): void {
  const outOf = (request: { params: unknown }): string => findDataset(home, (request.params as { id: string }).id);
  server.get("/api/data", async (): Promise<DatasetList> => {
    const known = knownDatasets(home).filter(({ out }) => hasPlanFile(out));
    return { datasets: await Promise.all(known.map((each) => summaryOf(each, s3))) };
  });
  server.get("/api/data/:id", (request): Promise<DatasetCard> => datasetCard(outOf(request), s3));
  server.post("/api/data/:id/whatif", async (request): Promise<RuleEffect> => {
    const { change } = readRequest(whatIfRequestSchema, request.body, "body");
    const effect = await whatIf(outOf(request), change, s3);
    return { ...effect, gained: effect.gained.slice(0, shownIds), lost: effect.lost.slice(0, shownIds) };
  });
  server.get("/api/data/:id/card.html", async (request, reply) => {
    const { id } = request.params as { id: string };
    const card = await datasetCard(outOf(request), s3);
    if (page?.isBuilt !== true) throw noPage();
    return reply
      .headers({ "content-disposition": `attachment; filename="${id}.html"` })
      .type("text/html; charset=utf-8")
      .send(standalonePage((name) => page.read(name), { card }));
  });
}

/** A dataset that cannot be read stays in the list, with its error. */
async function summaryOf({ id, out }: KnownDataset, s3: S3Access | undefined): Promise<DatasetSummary> {
  try {
    const { file, isRunning, isPublished, sources, stages } = await datasetCard(out, s3);
    const sum = (values: readonly number[]): number => values.reduce((total, each) => total + each, 0);
    const all = Object.values(sources);
    return {
      id,
      out,
      file,
      isRunning,
      isPublished,
      documents: sum(all.map(({ documents }) => documents)),
      bytes: sum(all.map(({ bytes }) => bytes)),
      tokens: sum(all.map(({ tokens }) => tokens)),
      done: sum(stages.map(({ done }) => done)),
      total: sum(stages.map(({ shards }) => shards)),
    };
  } catch (thrown) {
    const { code, message } = asLapidaryError(thrown);
    const empty = { documents: 0, bytes: 0, tokens: 0, done: 0, total: 0 };
    return { id, out, file: "", isRunning: false, isPublished: false, ...empty, error: `${code}: ${message}` };
  }
}

function findDataset(home: string, id: string): string {
  const known = knownDatasets(home);
  const found = known.find((each) => each.id === id);
  if (found !== undefined) return found.out;
  const near = suggest(
    id,
    known.map((each) => each.id),
  );
  throw new LapidaryError({
    code: "LAP_DATA_NO_RESULT",
    message: `no pipeline named ${JSON.stringify(id.slice(0, 80))} ran with this state directory`,
    location: home,
    remedy: near === undefined ? "run one with `lapidary data run`" : `did you mean "${near}"?`,
  });
}
