import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { type JobDetail, type JobList, type MetricsPage } from "@lapidary/api";
import type { RecordedRunWriter } from "@lapidary/coordinator/testing";
import type { ProgramView } from "@lapidary/api/program-view";
import { axeViolations, goTo, layoutFaults, panelsFilled, textOf, until } from "./support/browser.js";
import { RecordedDashboard } from "./support/recorded-dashboard.js";

/** The coordinator's real HTTP server serves recorded runs to a real browser. Every test opens its own page. */
describe("the dashboard", function () {
  this.timeout(120_000);
  let quickstart: RecordedRunWriter;
  let second: RecordedRunWriter;
  const dashboard = new RecordedDashboard((recorded) => {
    recorded.record({
      id: "finished",
      path: "configs/jobs/nano16.yaml",
      overrides: ["train.steps=60"],
      done: 60,
      end: "done",
      age_ms: 600_000,
    });
    const half = ["slice=8x16", "mesh.data=8", "mesh.model=16"];
    quickstart = recorded.record({ id: "quickstart-1", path: "configs/jobs/quickstart.yaml", overrides: half, done: 40 });
    second = recorded.record({
      id: "nano-2",
      path: "configs/jobs/nano16.yaml",
      overrides: [...half, "zero=1", "train.steps=500", "train.batch=16"],
      done: 30,
      origin: [8, 0],
      straggler: { worker: 1, factor: 1.4 },
      logs: [
        '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>',
        "\u001b[31mred\u001b[0m \u202eturned",
        "z".repeat(1_000_000),
      ],
    });
    recorded.record({ id: "waiting", path: "configs/jobs/nano16.yaml", done: 0, waits: true });
  });
  const { show, api } = dashboard;

  it("every panel of a run is filled, without console errors and without the token in the URL", async () => {
    const page = await show("#/run/quickstart-1");
    await until(page, panelsFilled);
    match(page.url(), /#\/run\/quickstart-1$/);
    ok(!page.url().includes(dashboard.token));
    deepStrictEqual(dashboard.open?.complaints, []);
  });

  it("step, loss and bytes on the page equal those of the API while the run continues", async () => {
    const page = await show("#/run/quickstart-1");
    await until(page, panelsFilled);
    quickstart.steps(3);
    await until(page, `document.querySelector("[data-field=step]").textContent === "${quickstart.step}"`);
    const job = await api<JobDetail>("/api/jobs/quickstart-1");
    const program = await api<ProgramView>("/api/jobs/quickstart-1/program");
    strictEqual(await textOf(page, "[data-field=loss]"), job.loss?.toFixed(3));
    strictEqual(
      await page.locator("[data-field=sent]").getAttribute("title"),
      String(program.link_bytes.dcn + program.link_bytes.dims.reduce((a, b) => a + b, 0)),
    );
    const total = program.collectives.reduce((sum, { bytes_per_chip }) => sum + bytes_per_chip, 0);
    match(await textOf(page, "#panel-collectives .head p"), new RegExp(`each chip sends ${(total / 1e6).toPrecision(3)} MB`));
  });

  it("after a reload during a run, the page has every step", async () => {
    const page = await show("#/run/quickstart-1");
    await until(page, panelsFilled);
    quickstart.steps(2);
    await page.reload();
    await until(page, panelsFilled);
    quickstart.steps(2);
    await until(page, `document.querySelector("[data-field=step]").textContent === "${quickstart.step}"`);
    strictEqual(await page.locator("[data-steps]").getAttribute("data-steps"), String(quickstart.step));
    const { metrics } = await api<MetricsPage>("/api/jobs/quickstart-1/metrics");
    strictEqual(metrics.filter(({ kind }) => kind === "train").length, quickstart.step);
  });

  it("the page reports an unreachable coordinator, and catches up without a gap or a duplicate when it is back", async () => {
    const page = await show("#/run/quickstart-1");
    await until(page, panelsFilled);
    await dashboard.restart(async () => {
      await page.getByText("Coordinator unreachable. The page shows").waitFor();
      quickstart.steps(4);
    });
    await until(page, `document.querySelector("[data-field=step]").textContent === "${quickstart.step}"`);
    quickstart.steps(1);
    await until(page, `document.querySelector("[data-field=step]").textContent === "${quickstart.step}"`);
    strictEqual(await page.locator("[data-steps]").getAttribute("data-steps"), String(quickstart.step));
    strictEqual(await page.getByText("Coordinator unreachable. The page shows").count(), 0);
  });

  it("the URL contains panel and selections", async () => {
    const page = await show("#/run/nano-2");
    await until(page, panelsFilled);
    await page.getByRole("button", { name: "bytes sent" }).click();
    await page.getByLabel("groups along").selectOption("model");
    await page.locator("#panel-shards tbody button").nth(1).click();
    const address = page.url();
    match(address, /axis=model/);
    match(address, /tensor=params%2F/);
    await page.goto("about:blank");
    await page.goto(address);
    await until(page, panelsFilled);
    strictEqual(await page.getByRole("button", { name: "owner" }).getAttribute("aria-pressed"), "true");
    strictEqual(await page.getByLabel("groups along").inputValue(), "model");
    ok((await textOf(page, "#panel-shards .layout h3")).startsWith("params/"));
  });

  it("chips, ops and panels can be selected with the keyboard", async () => {
    const page = await show("#/run/quickstart-1");
    await until(page, panelsFilled);
    await page.locator("#panel-torus canvas[tabindex]").focus();
    for (const key of ["ArrowDown", "ArrowDown", "ArrowRight", "Enter"]) await page.keyboard.press(key);
    await until(page, `/chip=17/.test(location.hash)`);
    match(await textOf(page, "[data-chip-details] h3"), /Chip 1, 1/);
    await page.keyboard.press("Escape");
    await until(page, `!/chip=/.test(location.hash)`);
    await page.locator("#panel-timeline canvas").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await until(page, `/op=\\d+/.test(location.hash)`);
    match(await textOf(page, "#panel-timeline .details"), /bounded by/);
    await page.keyboard.press("+");
    await until(page, `/time=/.test(location.hash)`);
    await page.locator("h2").first().focus();
    await page.keyboard.press("8");
    await until(page, `/panel=collectives/.test(location.hash) && document.activeElement.id === "title-collectives"`);
  });

  it("the page names the straggler", async () => {
    const page = await show("#/run/nano-2?colour=step+time");
    await until(page, panelsFilled);
    match(await textOf(page, "#panel-workers .head p"), /Worker 1 is a straggler/);
  });

  it("hostile text is shown as text", async () => {
    const page = await show("#/run/nano-2?panel=logs");
    await until(page, panelsFilled);
    const log = page.locator("#panel-logs .box");
    ok((await log.textContent())?.includes("<script>globalThis.hacked=1</script>"));
    ok((await log.textContent())?.includes("␛[31mred␛[0m �turned"));
    ok(((await log.textContent()) ?? "").length < 20_000);
    for (const at of [
      "#/run/<script>globalThis.hacked=1</script>",
      "#/run/nano-2?tensor=<img src=x onerror=globalThis.hacked=1>&axis=<b>&chip=99999&op=99999&log=<i>",
      "#/<img src=x onerror=globalThis.hacked=1>",
    ]) {
      await goTo(page, at);
      await page.reload();
      await page.locator("h1").first().waitFor({ state: "attached" });
    }
    strictEqual(await page.evaluate("globalThis.hacked"), undefined);
  });

  it("the page reports a run, chip, tensor, axis or op in the URL that does not exist", async () => {
    const page = await show("#/run/nano-9");
    await page.getByText("Run “nano-9” not found").waitFor();
    await page.getByText("did you mean").waitFor();
    await goTo(page, "#/run/nano-2?colour=owner&tensor=params/model.norm.wieght&chip=4000&op=99999&axis=expert");
    await page.getByText("Chip 4000 not found").waitFor();
    await page.getByText("Tensor “params/model.norm.wieght” not found").first().waitFor();
    await page.getByRole("button", { name: "params/model.norm.weight" }).waitFor();
    await page.getByText("Op 99999 not found").waitFor();
    await page.getByText("Axis “expert” not found").waitFor();
    await goTo(page, "#/somewhere");
    await page.getByText("” not found").waitFor();
  });

  it("the launch page shows the line of an error, launches a valid job, and the run page cancels it", async () => {
    const page = await show("#/launch?file=nano16");
    const editor = page.locator("textarea");
    await until(page, `document.querySelector("textarea").value.includes("steps:")`);
    const good = await editor.inputValue();
    const line = good.split("\n").findIndex((each) => each.includes("steps:")) + 1;
    await editor.fill(good.replace("steps:", "stepps:"));
    await page.getByRole("button", { name: `line ${line}` }).waitFor();
    ok(await page.getByRole("button", { name: "Launch" }).isDisabled());
    match(await textOf(page, "#validation"), /did you mean|steps/);
    await editor.fill(good);
    await page.getByLabel("Name").fill("from-the-page");
    await page.locator("button:not([disabled])", { hasText: "Launch" }).click();
    await page.getByRole("heading", { name: "from-the-page", exact: true }).waitFor();
    strictEqual((await api<JobDetail>("/api/jobs/from-the-page")).state, "queued");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Cancel run" }).click();
    await until(page, `document.querySelector("[data-field=state]").textContent === "cancelled"`);
  });

  it("the page lists runs and queue, and compares two runs", async () => {
    const page = await show("#/");
    await page.getByRole("link", { name: "quickstart-1" }).first().waitFor();
    const { jobs } = await api<JobList>("/api/jobs");
    for (const { id } of jobs) ok((await page.locator(`td.id a[title="${id}"]`).count()) === 1, id);
    await page.getByLabel("Compare finished").check();
    await page.getByLabel("Compare nano-2").check();
    await page.getByRole("link", { name: "Compare finished and nano-2" }).click();
    await page.getByText("reduce_scatter").first().waitFor();
    ok((await page.getByRole("cell", { name: "zero", exact: true }).count()) === 1);
    second.steps(1);
  });

  it("a saved page works as a file, without a server", async () => {
    const page = await dashboard.showOffline();
    await page.goto(await dashboard.savePage("finished"));
    await until(page, panelsFilled);
    strictEqual(await textOf(page, "[data-field=step]"), "60");
    strictEqual(await page.getByRole("link", { name: "Launch" }).count(), 0);
    deepStrictEqual(dashboard.open?.complaints, []);
  });

  for (const dark of [false, true])
    it(`the page has no serious accessibility violation in ${dark ? "dark" : "light"} colours`, async () => {
      const page = await show("#/", { dark });
      await page.getByRole("link", { name: "quickstart-1" }).first().waitFor();
      const found = [...(await axeViolations(page))];
      for (const at of [
        "#/run/quickstart-1?colour=owner&tensor=params%2Fmodel.embed_tokens.weight&chip=3&axis=data",
        "#/launch?file=nano16",
        "#/compare?a=finished&b=nano-2",
        "#/run/missing",
      ]) {
        await goTo(page, at);
        await page.reload();
        await until(page, at.startsWith("#/run/q") ? panelsFilled : `document.querySelector("h1") !== null`);
        if (at.startsWith("#/launch")) await page.getByText("Valid: ").waitFor();
        if (at.startsWith("#/compare")) await page.getByText("Different shardings").waitFor();
        found.push(...(await axeViolations(page)));
      }
      deepStrictEqual(found, []);
    });

  for (const width of [1024, 1440, 1920])
    it(`the page truncates and overlaps nothing at ${width} pixels`, async () => {
      const page = await show("#/run/quickstart-1?colour=owner&tensor=params%2Fmodel.embed_tokens.weight&chip=3", { width });
      await until(page, panelsFilled);
      const faults = (await page.evaluate(layoutFaults)) as string[];
      for (const at of ["#/run/finished?colour=bytes+sent", "#/", "#/launch?file=quickstart", "#/compare?a=finished&b=nano-2"]) {
        await goTo(page, at);
        await page.reload();
        await until(page, at.startsWith("#/run") ? panelsFilled : `document.querySelector("h1") !== null`);
        if (at.startsWith("#/compare")) await page.getByText("Different shardings").waitFor();
        faults.push(...((await page.evaluate(layoutFaults)) as string[]).map((fault) => `${at}: ${fault}`));
      }
      deepStrictEqual(faults, []);
    });

  it("a phone shows header, loss and events", async () => {
    const page = await show("#/run/quickstart-1", { width: 390, height: 800 });
    await until(page, `/\\d/.test(document.querySelector("[data-field=loss]")?.textContent ?? "")`);
    const visible = (await page.evaluate(
      `[...document.querySelectorAll("[data-panel]")].filter((e) => e.getClientRects().length > 0).map((e) => e.dataset.panel)`,
    )) as string[];
    deepStrictEqual(visible, ["header", "curves", "events"]);
    strictEqual(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
  });
});
