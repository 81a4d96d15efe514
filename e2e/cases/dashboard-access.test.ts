import assert from "node:assert/strict";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { layoutFaults, openBrowser, until } from "../support/browser.js";
import { tinyJob } from "../support/cases.js";
import { Home } from "../support/cli.js";
import { type Forward, forwardBelow, forwardPort } from "../support/forward.js";

/** The dashboard as people open it: through tunnels and proxies, and in many tabs. */

interface Answer {
  readonly error: { readonly code: string; readonly remedy: string };
}

/** Two such jobs run at the same time, each on half of the pod and with one worker. */
const longJob = ["train.steps=1000000", "pod.torus=4x8", "slice=4x4", "workers=1"];

describe("dashboard access", function () {
  this.timeout(240_000);
  let home: Home;
  let port: number;
  let token: string;
  let browser: Browser;

  before(async () => {
    home = new Home();
    const { url } = await home.json("up", "--workers", "2", "--allow-host", "hub.example.com", "--allow-host", "Proxy.Example.com");
    assert.ok(typeof url === "string");
    port = Number(new URL(url).port);
    token = new URL(url).searchParams.get("token") ?? "";
    browser = await openBrowser(["hub.example.com", "proxy.example.com"]);
    await home.json("launch", tinyJob, ...longJob, "--name", "long", "-d");
  });
  after(async () => {
    await browser?.close();
    await home?.clear();
  });

  describe("case 73: a tunnel with another port", () => {
    const forwards: Forward[] = [];
    let context: BrowserContext;
    before(async () => {
      forwards.push(await forwardPort(port), await forwardPort(port), await forwardBelow("/user/me/proxy/8765", port));
      context = await browser.newContext();
    });
    after(async () => {
      await context?.close();
      for (const forward of forwards) await forward.close();
    });
    const portOf = (tunnel: number): number => forwards[tunnel]?.port ?? 0;
    const shows = (page: Page): Promise<void> => until(page, `document.querySelector("td.id a")?.textContent === "long"`, 60_000);

    it("the server answers at the address with the port of the tunnel, and rejects a foreign name", async () => {
      const answer = await fetch(`http://127.0.0.1:${portOf(0)}/?token=${token}`, { redirect: "manual" });
      assert.equal(answer.status, 303);
      assert.match(answer.headers.get("set-cookie") ?? "", new RegExp(`^lapidary_token_${portOf(0)}=`));
      assert.equal((await fetch(`http://127.0.0.1:${portOf(0)}/?token=wrong`)).status, 401);
      const foreign = await browser.newContext({ extraHTTPHeaders: { authorization: `Bearer ${token}` } });
      const refused = await foreign.request.get(`http://127.0.0.1:${portOf(0)}/api/status`, { headers: { host: "127.0.0.1.evil.com" } });
      assert.deepEqual([refused.status(), ((await refused.json()) as Answer).error.code], [403, "LAP_HTTP_HOST"]);
      await foreign.close();
    });

    it("the page shows the runs through two tunnels, and writes through each", async () => {
      const pages = [await context.newPage(), await context.newPage()];
      for (const [tunnel, page] of pages.entries()) await page.goto(`http://localhost:${portOf(tunnel)}/?token=${token}`);
      for (const page of pages) {
        await page.reload();
        await shows(page);
        const status = await page.evaluate(`fetch("api/jobs/absent/cancel", { method: "POST" }).then((answer) => answer.status)`);
        assert.equal(status, 404, "the request is accepted, and the run is not known");
        await page.close();
      }
    });

    it("the page shows the runs below the prefix of a proxy", async () => {
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${portOf(2)}/user/me/proxy/8765/?token=${token}`);
      await shows(page);
      assert.equal(page.url(), `http://127.0.0.1:${portOf(2)}/user/me/proxy/8765/`);
      await page.click("td.id a");
      await until(page, `/\\d/.test(document.querySelector("[data-field=step]").textContent)`, 60_000);
      const cookies = (await context.cookies(page.url())).filter(({ name }) => name === `lapidary_token_${portOf(2)}`);
      assert.deepEqual(
        cookies.map(({ path }) => path),
        ["/user/me/proxy/8765"],
      );
      await page.close();
    });
  });

  describe("case 103: a proxy under a public name", () => {
    const prefix = "/user/me/proxy/8765";
    let hub: Forward;
    let context: BrowserContext;
    before(async () => {
      hub = await forwardBelow(prefix, port);
      context = await browser.newContext();
    });
    after(async () => {
      await context?.close();
      await hub?.close();
    });

    const answerFor = async (host: string): Promise<{ readonly status: number; readonly error?: Answer["error"] }> => {
      const { request } = context;
      const headers = { host, authorization: `Bearer ${token}` };
      const answer = await request.get(`http://127.0.0.1:${port}/api/status`, { headers });
      return { status: answer.status(), ...((await answer.json()) as Partial<Answer>) };
    };

    it("the server answers for the allowed names in any case and with any port, and for no similar name", async () => {
      for (const host of ["hub.example.com", "HUB.example.com:8443", "proxy.example.com:80"])
        assert.equal((await answerFor(host)).status, 200, host);
      for (const host of ["example.com", "a.hub.example.com", "hub.example.com.evil.org", "xhub.example.com"]) {
        const { status, error } = await answerFor(host);
        assert.deepEqual([status, error?.code], [403, "LAP_HTTP_HOST"], host);
        assert.match(error?.remedy ?? "", new RegExp(`lapidary up --allow-host ${host}\``));
      }
    });

    it("the page shows a run below the prefix, follows its steps through the shared worker, and writes", async () => {
      const page = await context.newPage();
      await page.goto(`http://hub.example.com:${hub.port}${prefix}/?token=${token}`);
      await until(page, `document.querySelector("td.id a")?.textContent === "long"`, 60_000);
      await page.click("td.id a");
      const stepOf = `Number(document.querySelector("[data-field=step]").textContent)`;
      await until(page, `${stepOf} > 0`, 60_000);
      const step = await page.evaluate(stepOf);
      await until(page, `${stepOf} > ${String(step)}`, 60_000);
      const written = await page.evaluate(`fetch("api/jobs/absent/cancel", { method: "POST" }).then((answer) => answer.status)`);
      assert.equal(written, 404, "the request is accepted, and the run is not known");
      await page.close();
    });

    it("the server rejects a write from a page of another allowed name", async () => {
      const headers = { host: "hub.example.com", origin: "http://proxy.example.com", authorization: `Bearer ${token}` };
      const answer = await context.request.post(`http://127.0.0.1:${port}/api/jobs/absent/cancel`, { headers });
      assert.deepEqual([answer.status(), ((await answer.json()) as Answer).error.code], [403, "LAP_HTTP_ORIGIN"]);
    });

    it("the option rejects a wildcard, an address and a list of names, each with the reason", async () => {
      for (const [name, says] of [
        ["*", /DNS rebinding/],
        ["*.example.com", /DNS rebinding/],
        ["https://hub.example.com:8443/user/me", /without scheme, port and path: hub\.example\.com/],
        ["hub.example.com:8443", /without scheme, port and path: hub\.example\.com/],
        ["a.example.com,b.example.com", /is not a host name/],
        ["", /is not a host name/],
      ] as const) {
        const { code, stderr } = await home.run("up", "--allow-host", name);
        assert.equal(code, 2, name);
        assert.match(stderr, /LAP_ALLOW_HOST/, name);
        assert.match(stderr, says, name);
      }
    });
  });

  describe("case 74: the third tab", () => {
    const stepOf = `Number(document.querySelector("[data-field=step]").textContent)`;
    const showsSteps = (page: Page): Promise<void> => until(page, `${stepOf} > 0`, 60_000);
    const isActive = async (page: Page): Promise<void> => {
      const step = await page.evaluate(stepOf);
      await until(page, `${stepOf} > ${String(step)}`, 60_000);
    };
    let context: BrowserContext;
    let tabs: Page[];

    before(async () => {
      await home.json("launch", tinyJob, ...longJob, "--name", "other", "-d");
      context = await browser.newContext();
      tabs = [await context.newPage()];
      await tabs[0]?.goto(`http://127.0.0.1:${port}/?token=${token}`);
    });
    after(() => context?.close());

    it("ten tabs of two running runs load and continue", async () => {
      const [list] = tabs;
      for (let tab = 0; tab < 10; tab++) {
        const page = await context.newPage();
        await page.goto(`http://127.0.0.1:${port}/#/run/${tab % 2 === 0 ? "long" : "other"}`, { timeout: 60_000 });
        await showsSteps(page);
        tabs.push(page);
      }
      for (const page of tabs.slice(1)) await isActive(page);
      await list?.reload({ timeout: 60_000 });
      assert.ok(list);
      await until(list, `document.querySelectorAll("td.id a").length === 2`, 60_000);
    });

    it("the other tabs continue when the first tabs are closed", async () => {
      for (const page of tabs.splice(0, 8)) await page.close();
      for (const page of tabs) await isActive(page);
    });

    it("the page reports a request that does not begin", async () => {
      const [page] = tabs;
      assert.ok(page);
      const held: (() => void)[] = [];
      await page.route("**/snapshot", (route) => void held.push(() => void route.continue()));
      await page.evaluate(`location.hash = "#/run/${page.url().endsWith("long") ? "other" : "long"}"`);
      await page.getByText("No response from the coordinator for 5 seconds").waitFor({ timeout: 60_000 });
      for (const release of held) release();
      await showsSteps(page);
      await until(page, `!document.body.textContent.includes("No response from the coordinator")`);
    });

    it("a browser without shared workers follows a run", async () => {
      const page = await context.newPage();
      await page.addInitScript("delete globalThis.SharedWorker");
      await page.goto(`http://127.0.0.1:${port}/#/run/long`);
      await showsSteps(page);
      await isActive(page);
      assert.equal(await page.evaluate("typeof SharedWorker"), "undefined");
      await page.close();
    });
  });

  describe("long names", () => {
    it("the page shows names of 64 characters within the window of a desktop and of a phone", async () => {
      const [one, other] = ["a", "b"].map((letter) => letter.repeat(64));
      for (const name of [one, other]) await home.json("launch", tinyJob, ...longJob, "--name", String(name), "-d");
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${port}/?token=${token}`);
      for (const width of [1280, 390])
        for (const at of ["#/", `#/run/${one}`, `#/compare?a=${one}&b=${other}`]) {
          await page.setViewportSize({ width, height: 900 });
          await page.evaluate(`location.hash = ${JSON.stringify(at)}`);
          await until(
            page,
            `document.querySelector("main").textContent.includes("${one}") && !document.querySelector("main").textContent.includes("Loading")`,
          );
          assert.deepEqual(await page.evaluate(layoutFaults), [], `${at} at ${width}`);
        }
      await context.close();
    });
  });
});
