import { EventEmitter } from "node:events";

/** @typedef {{ readonly cases: number, readonly rejected: number, readonly seed: number }} HeldProperty */

/**
 * `seed.mjs` reports each property that holds here, and the reporter of mocha listens.
 * @type {EventEmitter<{ held: [HeldProperty] }>}
 */
export const propertyEvents = new EventEmitter();
