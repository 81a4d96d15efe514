/** The faults of a schedule. Each is as likely as the others; a fault that is listed twice is twice as likely. */
export const faultKinds = [
  "kill a worker",
  "kill a worker",
  "kill two workers",
  "suspend a worker",
  "hang a worker",
  "suspend the coordinator",
  "kill the coordinator",
  "kill the coordinator",
  "kill the coordinator and its workers",
  "cut the power",
  "start a second coordinator",
  "drain",
  "break the disk",
  "flip a bit of a checkpoint",
  "make a step fail",
  "refuse new processes",
  "cut a connection",
  "mute a connection",
  "slow a connection",
  "partition",
] as const;
export type FaultKind = (typeof faultKinds)[number];
