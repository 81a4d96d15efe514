import { deepEqual, equal, match, ok } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { findCompiler } from "./compiler.mjs";
import { programsByDirectory, programsByName } from "./programs.mjs";
import { findPython } from "./python.mjs";
import { Report } from "./report.mjs";
import { Session } from "./session.mjs";

describe("programs on the PATH", function () {
  this.timeout(60_000);
  /** @type {string} */
  let directory;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-programs-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** @param {string} name @param {string} script @param {number} [mode] */
  const program = (name, script, mode = 0o755) => {
    const path = join(directory, name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode });
    return path;
  };
  /** @param {readonly string[]} entries @param {NodeJS.ProcessEnv} [env] */
  const session = (entries, env = {}) => {
    const PATH = entries.map((entry) => (entry === "" || entry === "." ? entry : join(directory, entry))).join(delimiter);
    return new Session({
      root: directory,
      env: { LAPIDARY_CACHE: join(directory, "cache"), ...env, PATH },
      report: new Report({ quiet: true }),
    });
  };
  /** @param {string} version @param {string} [pip] */
  const python = (version, pip) =>
    `echo banner; echo "lapidary-python ${version}"; ${pip === undefined ? 'echo "No module named pip" >&2; exit 1' : `echo "lapidary-python-pip ${pip}"`}`;

  it("the set-up finds all programs of a name, by name or by directory, and skips relative entries and files that cannot run", () => {
    const [a, b] = [program("a/x", ""), program("b/x", "")];
    const y = program("a/y", "");
    program("c/x", "", 0o644);
    mkdirSync(join(directory, "d/x"), { recursive: true });
    mkdirSync(join(directory, "e"));
    symlinkSync("nothing", join(directory, "e/x"));
    const { env } = session(["", ".", "c", "d", "e", "a", "b", "a"]);
    deepEqual(programsByName(env, ["x", "y"]), [a, b, y]);
    deepEqual(programsByDirectory(env, ["x", "y"]), [a, y, b]);
  });

  it("the set-up skips a Python without pip, such as that of an environment, and uses a later one with pip", async () => {
    program("venv/bin/python3", python("3.12.1"));
    const later = program("usr/bin/python3", python("3.11.2", "23.0.1"));
    const found = await findPython(session(["venv/bin", "usr/bin"]));
    ok("python" in found);
    deepEqual([found.python, found.version, found.pip], [later, "3.11.2", "23.0.1"]);
  });

  it("the set-up finds a newer Python under its own name after an old python3 and a shim that fails", async () => {
    program("shims/python3", 'echo "pyenv: python3: command not found" >&2; exit 127');
    program("bin/python3", python("3.7.3", "19.0"));
    const newer = program("bin/python3.10", python("3.10.4", "22.0"));
    const found = await findPython(session(["shims", "bin"]));
    equal("python" in found && found.python, newer);
  });

  it("if no program is suitable, the reason names each of them", async () => {
    program("shims/python3", 'echo "pyenv: python3: command not found" >&2; exit 127');
    program("bin/python", python("2.7.18", "20.0"));
    const found = await findPython(session(["shims", "bin"]));
    ok("problem" in found);
    match(
      found.problem,
      /no Python 3\.8 or later with pip is found \(.*shims\/python3: pyenv: python3: command not found; .*bin\/python: Python 2\.7\.18\)/,
    );
  });

  it("the set-up uses PYTHONPATH if pip is found only with it", async () => {
    program("bin/python3", `[ -n "$PYTHONPATH" ] && { ${python("3.11.2", "23.0.1")}; exit 0; }\n${python("3.11.2")}`);
    const found = await findPython(session(["bin"], { PYTHONPATH: "/modules/pip" }));
    equal("env" in found && found.env["PYTHONPATH"], "/modules/pip");
  });

  it("the set-up skips a compiler that is too old, or lacks its headers, and uses a later one", async () => {
    program("old/c++", 'case "$*" in *--version*) echo "g++ 4.8.5";; *) echo "unrecognized option" >&2; exit 1;; esac');
    const later = program("new/c++", 'echo "g++ 12.2.0"');
    const found = await findCompiler(session(["old", "new"]));
    deepEqual(found, { command: later, args: [], version: "g++ 12.2.0" });
    const none = await findCompiler(session(["old"]));
    match("problem" in none ? none.problem : "", /g\+\+ 4\.8\.5 does not compile C\+\+17: unrecognized option/);
  });
});
