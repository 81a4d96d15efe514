import { RecordedRuns } from "@lapidary/coordinator/testing";
import { openBrowser, visit, until, layoutFaults } from "./e2e/dist/support/browser.js";
const [, , home, at, prefix, wait, ...steps] = process.argv;
const recorded = await RecordedRuns.open(home, process.cwd());
const token = "0123456789abcdef0123456789abcdef";
const server = await recorded.serve(token);
const browser = await openBrowser();
for (const [name, o] of [["light", {}], ["dark", {dark:true}], ["narrow", {width:420, height:900}]]) {
  const v = await visit(browser, server.port, token, { ...o, at });
  await until(v.page, wait);
  for (const step of steps) await v.page.evaluate(step);
  await v.page.waitForTimeout(400);
  await v.page.screenshot({ path: `/tmp/shots/${prefix}-${name}.png`, fullPage: true });
  console.log(name, await v.page.evaluate(layoutFaults), v.complaints);
  await v.close();
}
await browser.close(); await server.close(); recorded.runs.close();
