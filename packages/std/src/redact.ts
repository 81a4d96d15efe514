/** Text without secrets. The set-up needs it before anything is compiled, so its code is there. */
export { redactSecrets } from "../../../tools/setup/redact.mjs";
