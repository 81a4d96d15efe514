export { type Unbranded, message } from "./messages.js";
