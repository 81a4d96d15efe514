import assert from "node:assert/strict";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { openBrowser, until } from "../support/browser.js";
import { tinyJob } from "../support/cases.js";
import { Home } from "../support/cli.js";
import { type Forward, forwardBelow, forwardPort } from "../support/forward.js";

/** The dashboard as people open it: through tunnels and proxies, and in many tabs. */

interface Answer {
  readonly error: { readonly code: string };
}

describe("dashboard access", function () {
  this.timeout(240_000);
  let home: Home;
  let port: number;
  let token: string;
  let browser: Browser;

  before(async () => {
    home = new Home();
    const { url } = await home.json("up", "--workers", "2");
    assert.ok(typeof url === "string");
    port = Number(new URL(url).port);
    token = new URL(url).searchParams.get("token") ?? "";
    browser = await openBrowser();
    await home.json("launch", tinyJob, "train.steps=1000000", "--name", "long", "-d");
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

    it("answers by the address with the tunnel's port, and still refuses a foreign name", async () => {
      const answer = await fetch(`http://127.0.0.1:${portOf(0)}/?token=${token}`, { redirect: "manual" });
      assert.equal(answer.status, 303);
      assert.match(answer.headers.get("set-cookie") ?? "", new RegExp(`^lapidary_token_${portOf(0)}=`));
      assert.equal((await fetch(`http://127.0.0.1:${portOf(0)}/?token=wrong`)).status, 401);
      const foreign = await browser.newContext({ extraHTTPHeaders: { authorization: `Bearer ${token}` } });
      const refused = await foreign.request.get(`http://127.0.0.1:${portOf(0)}/api/status`, { headers: { host: "127.0.0.1.evil.com" } });
      assert.deepEqual([refused.status(), ((await refused.json()) as Answer).error.code], [403, "LAP_HTTP_HOST"]);
      await foreign.close();
    });

    it("shows the runs through two tunnels side by side, and writes through each", async () => {
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

    it("shows the runs below the prefix of a proxy", async () => {
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
});
