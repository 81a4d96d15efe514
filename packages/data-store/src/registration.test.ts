import { deepStrictEqual, throws } from "node:assert/strict";
import { parseRegistration, type Registration, registrationLines } from "./registration.js";

const id = "00000000-0000-4000-8000-000000000000";
const registration = (keys: number): Registration => ({ id, file: "/p.yaml", keys: Array.from({ length: keys }, (_, i) => `key ${i}`) });

describe("the registration of a pipeline", () => {
  it("any number of keys is read as it was written, in lines that each have a part of them", () => {
    for (const keys of [0, 1, 16_384, 16_385, 50_000]) {
      const lines = [...registrationLines(registration(keys))];
      deepStrictEqual(lines.length, Math.max(1, Math.ceil(keys / 16_384)));
      deepStrictEqual(parseRegistration(Buffer.from(lines.join("")), "here"), registration(keys));
    }
  });

  it("a registration without one of its lines is an error, because the objects of its keys would be removed", () => {
    const lines = [...registrationLines(registration(50_000))];
    for (const without of lines.keys()) {
      const text = lines.filter((_, i) => i !== without).join("");
      throws(() => parseRegistration(Buffer.from(text), "here"), { code: "LAP_DATA_STORE" });
    }
    throws(() => parseRegistration(Buffer.from(""), "here"), { code: "LAP_DATA_STORE" });
  });

  it("a registration of an earlier version, which is one line, is read", () => {
    deepStrictEqual(parseRegistration(Buffer.from(`${JSON.stringify(registration(3))}\n`), "here"), registration(3));
  });
});
