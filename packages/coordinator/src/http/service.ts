import type {
  Cancelled,
  CheckpointEntry,
  JobDetail,
  PipelineCancelled,
  PipelineDetail,
  PipelineSubmitted,
  Resumed,
  resumeRequestSchema,
  Status,
  Submitted,
  submitPipelineSchema,
  submitRequestSchema,
} from "@lapidary/api";
import type { Run, RunStore } from "@lapidary/telemetry";
import type { z } from "zod";

/** The operations that the API offers. */
export interface Service {
  readonly runs: RunStore;
  status(): Status;
  /** @throws LapidaryError if the job is invalid */
  submit(request: z.output<typeof submitRequestSchema>): Promise<Submitted>;
  cancel(id: string): Promise<Cancelled>;
  /** @throws LapidaryError if the run has not failed, or if a resumed run may not have these overrides */
  resume(id: string, request: z.output<typeof resumeRequestSchema>): Promise<Resumed>;
  /** @throws LapidaryError if a job of the pipeline is invalid */
  submitPipeline(request: z.output<typeof submitPipelineSchema>): Promise<PipelineSubmitted>;
  /** @throws LAP_JOB_UNKNOWN */
  pipeline(id: string): PipelineDetail;
  /** Cancels the jobs that wait. @throws LAP_JOB_UNKNOWN */
  cancelPipeline(id: string): Promise<PipelineCancelled>;
  detail(run: Run): JobDetail;
  checkpoints(run: Run): Promise<CheckpointEntry[]>;
  /** Requests the end of the coordinator, and does not wait for it. */
  shutdown(): void;
}
