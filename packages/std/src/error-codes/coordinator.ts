import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: the coordinator, its queue, its API, and Redis. */
export const coordinatorErrors = {
  LAP_ALREADY_UP: { exit: ExitCode.other, recoverable: false, summary: "Another coordinator uses this state directory." },
  LAP_ALLOW_HOST: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A name of --allow-host or LAPIDARY_ALLOW_HOST is not an exact host name.",
  },
  LAP_COORDINATOR_DOWN: { exit: ExitCode.unreachable, recoverable: false, summary: "The coordinator does not answer." },
  LAP_COORDINATOR_BUSY: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "The coordinator is starting or stopping.",
    remedy: "try again in a moment",
  },
  LAP_COORDINATOR_STOPPED: { exit: ExitCode.cancelled, recoverable: false, summary: "The coordinator stopped while the job ran." },
  LAP_COORDINATOR_VERSION: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "The coordinator runs another version of Lapidary.",
    remedy: "another version of Lapidary started it: stop it with `lapidary down`, then start it with `lapidary up`",
  },
  LAP_COORDINATOR_FLAG: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "An option of the coordinator process is missing or invalid.",
    remedy: "the coordinator is started by `lapidary up`, seldom by hand",
  },
  LAP_UP_FAILED: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The coordinator ended while it started.",
    remedy: "run `lapidary doctor`, and read that file",
  },
  LAP_UP_TIMEOUT: {
    exit: ExitCode.timeout,
    recoverable: false,
    summary: "The coordinator did not start in time.",
    remedy: "run `lapidary doctor`, and read coordinator.log in the directory of that file",
  },
  LAP_PORT_TAKEN: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "Another process listens on the port of the server.",
    remedy: "stop it, or choose another port with --port (0 takes a free one)",
  },
  LAP_PAGE_NOT_BUILT: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The dashboard is not built.",
    remedy: "run `lapidary setup build`",
  },
  LAP_HOME_OWNER: { exit: ExitCode.usage, recoverable: false, summary: "The state directory belongs to another user." },
  LAP_HOME_FILES: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The state directory cannot be created or written.",
    remedy: "name a directory that you may write with --home or LAPIDARY_HOME",
  },
  LAP_HOME_DISK: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The disk of the state directory is full.",
    remedy:
      "free space there: `lapidary ckpt list` shows checkpoints, `cache` can be removed; or name a directory on another disk with --home or LAPIDARY_HOME",
  },
  LAP_JOB_UNKNOWN: { exit: ExitCode.notFound, recoverable: false, summary: "No job has this name." },
  LAP_NEED_FAILED: {
    exit: ExitCode.jobFailed,
    recoverable: false,
    summary: "A job that this job of a pipeline needs failed or was cancelled.",
  },
  LAP_PIPELINE_UNREADABLE: {
    exit: ExitCode.notFound,
    recoverable: false,
    summary: "The file of a pipeline is damaged.",
    remedy: "restore this file, then start the coordinator again with `lapidary down` and `lapidary up`; or move it away",
  },
  LAP_JOB_UNREADABLE: {
    exit: ExitCode.notFound,
    recoverable: false,
    summary: "The files of a job are damaged.",
    remedy: "restore these files, then start the coordinator again with `lapidary down` and `lapidary up`; or move the directory away",
  },
  LAP_JOB_NAME: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The name of a job has a character that is not allowed.",
    remedy: "use 1 to 64 of the characters a-z 0-9 . _ - and start with a letter or digit",
  },
  LAP_JOB_NAME_TAKEN: { exit: ExitCode.usage, recoverable: false, summary: "Another job has this name." },
  LAP_JOB_PRIORITY: { exit: ExitCode.usage, recoverable: false, summary: "The priority of a job is not an integer in the allowed range." },
  LAP_JOB_CANCELLED: { exit: ExitCode.cancelled, recoverable: false, summary: "The job was cancelled." },
  LAP_JOB_RELEASED: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The coordinator returned the job to the queue because it stops.",
  },
  LAP_JOB_FAILED: { exit: ExitCode.jobFailed, recoverable: false, summary: "The job failed." },
  LAP_JOB_CRASHED: { exit: ExitCode.jobFailed, recoverable: false, summary: "The job failed because of an internal error." },
  LAP_JOB_NOT_FAILED: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "A job that has not failed cannot be queued again.",
    remedy: "resume only a failed or cancelled job",
  },
  LAP_JOB_NOT_RESUMABLE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A job that is done, or has not ended, cannot be resumed.",
    remedy: "only a job that failed or was cancelled can be resumed; launch another one with `train.init` to go on from its weights",
  },
  LAP_JOB_NOT_FINISHED: { exit: ExitCode.notFinished, recoverable: false, summary: "The job has not ended yet." },
  LAP_JOB_NO_PROGRAM: { exit: ExitCode.notFinished, recoverable: false, summary: "The job has no compiled program." },
  LAP_JOB_NO_REPORT: { exit: ExitCode.notFinished, recoverable: false, summary: "The job has no report." },
  LAP_JOB_REPORT_UNREADABLE: { exit: ExitCode.other, recoverable: false, summary: "The report of the job is damaged." },
  LAP_LEASE_LOST: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "A lease expired or was taken by another process.",
    remedy: "stop the work that the lease protects; acquire it again for a new epoch",
  },
  LAP_STREAM_ID: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The id of an event is invalid.",
    remedy: "resume with the id of a received event, or 0 to read from the start",
  },
  LAP_HTTP: { exit: ExitCode.other, recoverable: false, summary: "The coordinator answered with an HTTP error that has no code." },
  LAP_HTTP_TOKEN: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The request has no valid token.",
    remedy:
      "send the token of coordinator.json in the state directory as `Authorization: Bearer TOKEN`; `lapidary status` prints an address that has it",
  },
  LAP_HTTP_HOST: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The request names a host that the server does not answer for.",
    remedy: "use 127.0.0.1 or localhost, with any port; docs/dashboard.md has a section about other machines",
  },
  LAP_HTTP_ORIGIN: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The request comes from a page of another origin.",
    remedy:
      "open the coordinator's own page; a proxy in between must pass on the host and port of the browser's address (nginx: `proxy_set_header Host $http_host`)",
  },
  LAP_HTTP_ROUTE: { exit: ExitCode.notFound, recoverable: false, summary: "The API has no such route." },
  LAP_HTTP_REQUEST: { exit: ExitCode.usage, recoverable: false, summary: "The request is invalid." },
  LAP_HTTP_TOO_LARGE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The body of the request is too large.",
    remedy: "a job file has at most 256 KiB",
  },
  LAP_INTERNAL: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "Lapidary itself failed.",
    remedy: "report it with logs/coordinator.log of the state directory, which `lapidary status` prints",
  },
  LAP_ERROR_UNREADABLE: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "Another process reported an error in an unknown form.",
    remedy: "run the same version of Lapidary in all processes: `lapidary down`, then `lapidary up`",
  },
  LAP_REDIS_URL: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The address of Redis is invalid.",
    remedy:
      "write it as redis://host:port/database, or rediss://user:password@host:port/database; in user and password write % as %25, / as %2F, @ as %40, # as %23 and ? as %3F",
  },
  LAP_REDIS_UNREACHABLE: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "Redis does not answer.",
    remedy:
      "check that the server runs and that REDIS_URL is its address (rediss:// for a TLS port, redis:// for any other); without REDIS_URL, `lapidary up` starts a private server",
  },
  LAP_REDIS_REFUSED: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "Redis refuses the user or the password.",
    remedy: "write the correct user and password in the address, redis://user:password@host:port",
  },
  LAP_REDIS_FULL: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "Redis has no memory or disk left.",
    remedy:
      "free memory or disk on its machine, or raise its maxmemory; meanwhile training continues, but jobs and events are not recorded",
  },
  LAP_REDIS_CLUSTER: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "Redis is a node of a cluster.",
    remedy: "set REDIS_URL to the address of a single server, or unset it: `lapidary up` then starts a private server",
  },
  LAP_REDIS_EVICTS: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "Redis is configured to evict keys.",
    remedy: "run `redis-cli CONFIG SET maxmemory-policy noeviction`, set it in redis.conf too, and start again",
  },
  LAP_REDIS_VERSION: { exit: ExitCode.usage, recoverable: false, summary: "Redis is too old." },
  LAP_REDIS_MISSING: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "No Redis server is installed.",
    remedy: "run `lapidary setup redis`, or give the address of a running server in REDIS_URL",
  },
  LAP_REDIS_BINARY: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "The installed Redis server cannot be run.",
    remedy: "run `lapidary setup redis`, which installs a server, or install redis-server yourself",
  },
  LAP_REDIS_START: { exit: ExitCode.unreachable, recoverable: false, summary: "The private Redis server does not start." },
} as const satisfies ErrorTable;
