export interface LaunchOptions {
  readonly job: string;
  readonly overrides: readonly string[];
  readonly detach: boolean;
  readonly name: string | undefined;
  readonly priority: number | undefined;
  /** Start the coordinator if none runs. Without it, a person at a terminal is asked. */
  readonly up?: boolean;
  /** Record every call of every step, and print a profile at the end. */
  readonly profile?: boolean;
  /** The directory for TensorBoard events, written while the job is followed. */
  readonly tensorboard?: string | undefined;
}
