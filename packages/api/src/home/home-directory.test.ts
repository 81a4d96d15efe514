import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitCode, LapidaryError } from "@lapidary/std";
import { openHome } from "./home-directory.js";

describe("openHome", () => {
  let directory: string;
  let home: string;
  const mode = (path: string): number => statSync(path).mode & 0o777;
  const codes = (path = home): string[] => openHome(path).map(({ code }) => code);
  const make = (path: string, bits: number): void => {
    mkdirSync(path, { recursive: true });
    chmodSync(path, bits);
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-home-"));
    home = join(directory, "home");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  for (const umask of [0o000, 0o002, 0o022, 0o077])
    it(`makes a state directory of mode 700 under umask ${umask.toString(8)}, its parents too`, () => {
      const before = process.umask(umask);
      try {
        deepStrictEqual(openHome(join(home, "below")), []);
      } finally {
        process.umask(before);
      }
      strictEqual(mode(join(home, "below")), 0o700);
      strictEqual(mode(home), 0o700);
    });

  it("closes a state directory that others can enter, and reports it once", () => {
    make(join(home, "runs/mine-1"), 0o755);
    make(home, 0o755);
    const [warning] = openHome(home);
    strictEqual(warning?.code, "LAP_HOME_CLOSED");
    match(warning.message, /mode 755/);
    strictEqual(mode(home), 0o700);
    deepStrictEqual(openHome(home), []);
  });

  it("closes the directories in a state directory as well, and follows a link to it", () => {
    for (const name of ["runs", "cache", "logs"]) make(join(home, name), 0o777);
    make(home, 0o777);
    const link = join(directory, "link");
    symlinkSync(home, link);
    match(openHome(link)[0]?.remedy ?? "", /others could write there/);
    for (const path of [home, ...readdirSync(home).map((name) => join(home, name))]) strictEqual(mode(path), 0o700, path);
  });

  it("does not close a directory that holds other things too, and reports that it is open", () => {
    make(home, 0o755);
    writeFileSync(join(home, ".bashrc"), "");
    deepStrictEqual(codes(), ["LAP_HOME_OPEN"]);
    strictEqual(mode(home), 0o755);
    chmodSync(home, 0o700);
    deepStrictEqual(codes(), []);
  });

  it("does not close a directory for temporary files of all users, even when it is empty", () => {
    mkdirSync(home);
    chmodSync(home, 0o1777);
    deepStrictEqual(codes(), ["LAP_HOME_OPEN"]);
    strictEqual(mode(home), 0o777);
  });

  it("closes .lapidary of a project with any content", () => {
    const own = join(directory, ".lapidary");
    make(own, 0o750);
    writeFileSync(join(own, "notes.txt"), "");
    deepStrictEqual(codes(own), ["LAP_HOME_CLOSED"]);
    strictEqual(mode(own), 0o700);
  });

  it("refuses a state directory of another user, and names the user and the remedy", () => {
    make(home, 0o777);
    throws(
      () => openHome(home, { uid: (process.getuid?.() ?? 0) + 1 }),
      (error) => {
        ok(error instanceof LapidaryError);
        strictEqual(error.code, "LAP_HOME_OWNER");
        strictEqual(error.exit, ExitCode.usage);
        match(error.remedy, /LAPIDARY_HOME/);
        return true;
      },
    );
  });

  it("refuses a state directory on a full disk, with the bytes that are free and those that are needed", () => {
    throws(
      () => openHome(home, { least_bytes: 2 ** 60 }),
      (error) => error instanceof LapidaryError && error.code === "LAP_HOME_DISK" && /are free, .* are needed to start/.test(error.message),
    );
  });

  it("names the file that is in the place of the directory or above it", () => {
    const file = join(directory, "a-file");
    writeFileSync(file, "");
    for (const path of [file, join(file, "home")])
      throws(
        () => openHome(path),
        (error) => error instanceof LapidaryError && error.code === "LAP_HOME_FILES" && error.message.includes(file),
        path,
      );
  });
});
