export { type RematPolicy, blockOf, rematPolicies, rematerialize } from "./rematerialize.js";
