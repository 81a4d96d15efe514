/** Exit codes of the command line (documented in README). */
export const ExitCode = {
  done: 0,
  other: 1,
  usage: 2,
  unreachable: 3,
  doesNotFit: 4,
  timeout: 5,
  jobFailed: 100,
  notFinished: 101,
  notFound: 102,
  cancelled: 103,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];
