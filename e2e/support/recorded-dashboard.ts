import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RecordedRuns } from "@lapidary/coordinator/testing";
import type { Browser, Page } from "playwright-core";
import { openBrowser, visit, type Visit } from "./browser.js";
import { root } from "./cli.js";

const token = "0123456789abcdef0123456789abcdef";

/** Recorded runs, shown by the coordinator's real HTTP server in a real browser, for the tests of one `describe`. */
export class RecordedDashboard {
  readonly token = token;
  #home = "";
  #recorded: RecordedRuns | undefined;
  #server: Awaited<ReturnType<RecordedRuns["serve"]>> | undefined;
  #browser: Browser | undefined;
  /** The page of the current test. */
  open: Visit | undefined;

  /** Registers the hooks of mocha. @param record writes the runs, before the server starts */
  constructor(record: (runs: RecordedRuns) => void) {
    before(async () => {
      this.#home = mkdtempSync(join(tmpdir(), "lapidary-dashboard-"));
      this.#recorded = await RecordedRuns.open(this.#home, root);
      record(this.#recorded);
      this.#server = await this.#recorded.serve(token);
      this.#browser = await openBrowser();
    });
    afterEach(async () => {
      await this.open?.close();
      this.open = undefined;
    });
    after(async () => {
      await this.#browser?.close();
      await this.#server?.close();
      this.#recorded?.runs.close();
      rmSync(this.#home, { recursive: true, force: true });
    });
  }

  private get recorded(): RecordedRuns {
    return started(this.#recorded);
  }

  private get server(): Awaited<ReturnType<RecordedRuns["serve"]>> {
    return started(this.#server);
  }

  private get browser(): Browser {
    return started(this.#browser);
  }

  /** Opens a page, which is closed after the test. */
  show = async (at: string, options: Parameters<typeof visit>[3] = {}): Promise<Page> => {
    this.open = await visit(this.browser, this.server.port, token, { ...options, at });
    return this.open.page;
  };

  /** The JSON of a route. */
  api = async <T>(path: string): Promise<T> => (await (await this.#get(path)).json()) as T;

  /** Ends the server, and starts it at the same port after `between`. */
  async restart(between: () => Promise<void>): Promise<void> {
    const { port } = this.server;
    await this.server.close();
    await between();
    this.#server = await this.recorded.serve(token, port);
  }

  /** A page without a network, for saved pages. It is closed after the test. */
  async showOffline(): Promise<Page> {
    const context = await this.browser.newContext({ offline: true, viewport: { width: 1440, height: 1000 } });
    const open = { page: await context.newPage(), complaints: [] as string[], close: () => context.close() };
    open.page.on("pageerror", (error) => open.complaints.push(error.message));
    open.page.on("console", (message) => message.type() === "error" && open.complaints.push(message.text()));
    this.open = open;
    return open.page;
  }

  /** Saves the page of a run. @returns the URL of the file */
  savePage(run: string): Promise<string> {
    return this.saveFile(`${run}.html`, `/api/jobs/${run}/page.html`);
  }

  /** The address of a file with the answer of a route. */
  async saveFile(name: string, path: string): Promise<string> {
    const file = join(this.#home, name);
    writeFileSync(file, await (await this.#get(path)).text());
    return `file://${file}`;
  }

  #get(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.server.port}${path}`, { headers: { authorization: `Bearer ${token}` } });
  }
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("the dashboard of the test is not started");
  return part;
}
