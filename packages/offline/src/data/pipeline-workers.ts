// What `lapidary data worker` and `lapidary data run --redis` call.

export { chooseRedis, openRedis, openStore, ShardQueue, type Store } from "@lapidary/control";
export { queueExecutor, TaskWorker } from "@lapidary/data-workers";
