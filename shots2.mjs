import { readFileSync } from "node:fs";
import { openBrowser, visit, until, layoutFaults } from "./e2e/dist/support/browser.js";
const c = JSON.parse(readFileSync("/tmp/home-dp/coordinator.json","utf8"));
const browser = await openBrowser();
for (const at of process.argv.slice(2)) {
  const v = await visit(browser, c.port, c.token, { at });
  await v.page.waitForTimeout(2500);
  const name = at.replace(/\W+/g,"_");
  await v.page.screenshot({ path: `/tmp/shots/live${name}.png`, fullPage: true });
  console.log(at, await v.page.evaluate(layoutFaults), v.complaints);
  await v.close();
}
await browser.close();
