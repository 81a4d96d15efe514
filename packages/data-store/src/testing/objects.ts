import { objectKey } from "../stored-object.js";

export const partsOfObject = 3;

export const keyOf = (object: number): string => objectKey({ code: "1", config: { object }, inputs: [] });

export const partBytes = (object: number, part: number): Uint8Array => Buffer.from(`object ${object} part ${part}\n`.repeat(5000));
