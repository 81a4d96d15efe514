import { match, ok, strictEqual, throws } from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { loadDisk } from "./disk.js";
import { loadKernels } from "./kernels.js";
import { type LibraryName, libraryPath } from "./library-path.js";
import { loadMemory } from "./memory.js";
import { opcodeList } from "./opcodes.js";
import { exchangeFunctions } from "./exchange.js";
import { stagingFunctions } from "./staging.js";

describe("the loaders of native libraries", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-native-"));
  after(() => rmSync(directory, { recursive: true }));

  /** The path of a JavaScript module with these exports, instead of a library. */
  const library = (name: string, functions: readonly string[], text = ""): string => {
    const path = join(directory, `${name}.cjs`);
    writeFileSync(path, `${functions.map((each) => `exports.${each} = () => 1;\n`).join("")}${text}`);
    return path;
  };
  const opcodes = (list: string): string => `exports.opcodes = ${JSON.stringify(list)};`;
  const exchange = Object.keys(exchangeFunctions);
  const staging = Object.keys(stagingFunctions);

  it("the loaders load every library that the set-up has built", () => {
    const loaders: Readonly<Record<LibraryName, () => boolean>> = {
      kernels: () => typeof loadKernels() !== "string",
      memory: () => loadMemory() !== undefined,
      disk: () => loadDisk() !== undefined,
    };
    for (const name of ["kernels", "memory", "disk"] as const) strictEqual(loaders[name](), existsSync(libraryPath(name)), name);
  });

  it("kernels of another op table are an error whose remedy compiles them again", () => {
    const path = library("other", ["registerProgram"], opcodes(opcodeList.replace("add subtract", "subtract add")));
    throws(
      () => loadKernels(path),
      (error) => error instanceof LapidaryError && error.code === "LAP_WORKER_OPCODES" && error.remedy?.includes("lapidary setup") === true,
    );
  });

  it("loadKernels returns the reason if kernels are missing, do not load, or lack fused programs", () => {
    strictEqual(loadKernels(join(directory, "absent.node")), "not built");
    strictEqual(loadKernels(library("failing", [], "throw new Error('wrong ELF class\\ndetails');")), "wrong ELF class");
    match(String(loadKernels(library("bare", [], opcodes(opcodeList)))), /exports no function registerProgram/);
  });

  it("a feature of the kernels is defined only if the library exports all of its functions", () => {
    const load = (name: string, functions: readonly string[], text = ""): Exclude<ReturnType<typeof loadKernels>, string> => {
      const loaded = loadKernels(library(name, ["registerProgram", ...functions], `${opcodes(opcodeList)}${text}`));
      ok(typeof loaded !== "string", String(loaded));
      return loaded;
    };
    const whole = load("whole", [...exchange, ...staging], "exports.matmul = { f32: true, bf16: false };");
    ok(whole.exchange !== undefined && whole.staging !== undefined);
    strictEqual(whole.matmul.f32, true);
    strictEqual(whole.matmul.bf16, false);
    const partial = load("partial", [...exchange.slice(1), ...staging.slice(1)]);
    strictEqual(partial.exchange, undefined);
    strictEqual(partial.staging, undefined);
    strictEqual(partial.matmul.f32, false);
  });

  it("a disk or memory library that lacks a function is undefined", () => {
    strictEqual(loadDisk(library("disk", ["create", "write"])), undefined);
    strictEqual(loadMemory(library("memory", [])), undefined);
    strictEqual(loadMemory(library("released", ["releaseMappings"]))?.releaseMappings(), 1);
  });
});
