export { TestRedis, eventually } from "./redis.js";
