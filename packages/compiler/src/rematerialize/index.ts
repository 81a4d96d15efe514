export { type RematPolicy, rematPolicies, rematerialize } from "./rematerialize.js";
