export { EventStream, type EventStreamOptions, type StreamEntry, streamStart } from "./event-stream.js";
export { type Job, type JobRecord, type JobRequest, type JobState } from "./job.js";
export { type JobHandlers, JobQueue, type JobQueueOptions } from "./job-queue.js";
export { type Acquired, HeldLease, type Lease, Leases } from "./leases.js";
export { RedisServer, type RedisServerOptions, redisServerProcess, startRedisServer } from "./redis-server.js";
export { openStore, type RedisAddress, type Store, type StoreOptions } from "./store.js";
