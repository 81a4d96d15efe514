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
  /** @throws LapidaryError whatever is wrong with the job */
  submit(request: z.output<typeof submitRequestSchema>): Promise<Submitted>;
  cancel(id: string): Promise<Cancelled>;
  /** @throws LapidaryError when it did not fail, or other overrides are asked for than a resumed run may have */
  resume(id: string, request: z.output<typeof resumeRequestSchema>): Promise<Resumed>;
  detail(run: Run): JobDetail;
  checkpoints(run: Run): Promise<CheckpointEntry[]>;
  /** Asks for the end; does not wait for it. */
  shutdown(): void;
}
