export { type RedisChoice, chooseRedis, describeRedis, openRedis, redisProcess, stopLeftRedis } from "./choose-redis.js";
export { EventStream } from "./event-stream.js";
export type { Job } from "./job.js";
export { type JobHandlers, JobQueue } from "./job-queue.js";
export { HeldLease, type Lease, Leases } from "./leases.js";
export { openStore, type Store } from "./store.js";
export { ShardQueue } from "./shard-queue.js";
export { ShardWorker } from "./shard-worker.js";
