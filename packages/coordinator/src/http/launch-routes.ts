import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Warning } from "@lapidary/std";
import { printMesh } from "@lapidary/topology";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { type JobText, jobWarnings, meshOf, printJob } from "@lapidary/training";
import { isDataEntry, isPipeline, jobFileOf, type Pipeline, resolvePipeline } from "@lapidary/training/job";
import type { FastifyInstance } from "fastify";
import type { z } from "zod";
import type { PipelineSubmitted } from "@lapidary/api";
import { type JobFiles, launchPipelineSchema, type Validated, validateRequestSchema } from "@lapidary/api/view-api";
import { parsePlacedJob } from "../jobs.js";
import { readRequest } from "./errors.js";
import type { Service } from "./service.js";

type ValidateRequest = z.output<typeof validateRequestSchema>;

/** The routes with which the page lists, checks and launches files of jobs and pipelines. @param root the project's root, with `configs` */
export function addLaunchRoutes(server: FastifyInstance, service: Service, root: string): void {
  server.get("/api/job-files", (): JobFiles => ({ files: [...filesOf(root, "job"), ...filesOf(root, "pipeline")] }));
  server.post("/api/validate", async (request): Promise<Validated> => {
    const given = readRequest(validateRequestSchema, request.body, "body");
    const text = textOf(given, root);
    return isPipeline(text) ? validPipeline(pipelineOf(given, service, root)) : validJob(given, service, root);
  });
  server.post("/api/pipelines/launch", (request): Promise<PipelineSubmitted> => {
    const { name, priority, ...given } = readRequest(launchPipelineSchema, request.body, "body");
    const { name: like, jobs } = pipelineOf(given, service, root);
    return service.submitPipeline({
      like,
      jobs: jobs.map((job) => ({ name: job.name, needs: [...job.needs], job: isDataEntry(job) ? job.dataJob : jobFileOf(job.job) })),
      ...(name === undefined ? {} : { name }),
      ...(priority === undefined ? {} : { priority }),
    });
  });
}

/** Locations of errors begin with `job`, or with the name of the file that the text is an edit of. */
const textOf = ({ yaml, path }: ValidateRequest, root: string): JobText =>
  path === undefined ? { text: yaml, file: "job", base: root } : { text: yaml, file: basename(path), base: dirname(resolve(root, path)) };

function pipelineOf(given: ValidateRequest, service: Service, root: string): Pipeline {
  return resolvePipeline(textOf(given, root), given.overrides, {
    configsDir: join(root, "configs"),
    runsDirectory: service.runs.directory,
  });
}

function validPipeline({ name, jobs }: Pipeline): Validated {
  const described = jobs.map((job) => ({
    name: job.name,
    needs: [...job.needs],
    ...(isDataEntry(job) ? { chips: 0, mesh: "" } : { chips: job.job.chips, mesh: printMesh(meshOf(job.job)) }),
  }));
  const largest = described.reduce((most, job) => (job.chips > most.chips ? job : most));
  const warnings = jobs.flatMap((job) => (isDataEntry(job) ? [] : named(job.name, [...job.warnings, ...jobWarnings(job.job)])));
  const text = (job: Pipeline["jobs"][number]): string =>
    isDataEntry(job) ? `recipe: data\npipeline: ${JSON.stringify(job.dataJob.pipeline)}\n` : printJob(job.job);
  const yaml = jobs.map((job) => `# ${job.name}\n${text(job)}`).join("\n");
  return { name, yaml, chips: largest.chips, mesh: largest.mesh, jobs: described, warnings };
}

const named = (job: string, warnings: readonly Warning[]): Validated["warnings"] =>
  warnings.map((warning) => ({ ...warning, message: `job ${job}: ${warning.message}` }));

async function validJob({ yaml, overrides }: ValidateRequest, service: Service, root: string): Promise<Validated> {
  const {
    job,
    locationOf,
    warnings: renamed,
  } = parsePlacedJob({ yaml, overrides, base: root }, root, { runsDirectory: service.runs.directory });
  const warnings = [...renamed, ...(await checkJobInputs(job, { projectRoot: root, locationOf })), ...jobWarnings(job)];
  return { name: job.name, yaml: printJob(job), chips: job.chips, mesh: printMesh(meshOf(job)), warnings };
}

/** The files of the project, including those in folders. */
function filesOf(root: string, kind: "job" | "pipeline"): JobFiles["files"] {
  const folder = `configs/${kind}s`;
  const directory = join(root, folder);
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".yaml"))
    .sort()
    .map((name) => ({
      name: kind === "job" ? name.replace(/\.yaml$/, "") : `pipelines/${name.replace(/\.yaml$/, "")}`,
      path: `${folder}/${name}`,
      text: readFileSync(join(directory, name), "utf8"),
      kind,
    }));
}
