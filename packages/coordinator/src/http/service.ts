import type {
  Cancelled,
  CheckpointEntry,
  JobDetail,
  Resumed,
  resumeRequestSchema,
  Status,
  Submitted,
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
  detail(run: Run): JobDetail;
  checkpoints(run: Run): Promise<CheckpointEntry[]>;
  /** Requests the end of the coordinator, and does not wait for it. */
  shutdown(): void;
}
