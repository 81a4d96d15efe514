export type { Connection } from "./api.js";
export { Coordinator, type CoordinatorOptions, startCoordinator } from "./coordinator.js";
export { chooseRedis, type RedisChoice, stopLeftRedis } from "./redis.js";
export { homeOwner, pidPath } from "./home-lock.js";
export type { Log } from "./log.js";
