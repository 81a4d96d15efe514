import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import { readBlocks } from "./blocks.js";
import { mainText } from "./main-text.js";

const p = (n: number): string => `Paragraph ${n} says with quite a few words what a reader came for, and then it ends.`;
const links = `<ul>${["Home", "About us", "Contact"].map((each) => `<li><a href="/">${each}</a>`).join("")}</ul>`;
const paragraphs = (from: number, to: number): string => Array.from({ length: to - from + 1 }, (_, i) => `<p>${p(from + i)}</p>`).join("");
const texts = (from: number, to: number): string => Array.from({ length: to - from + 1 }, (_, i) => p(from + i)).join("\n\n");

describe("the main text of a page", () => {
  it("navigation, side bars, notices and hidden text are left out", () => {
    const frames = [
      `<nav>${links}</nav>`,
      `<div class="site-nav">${links}</div>`,
      `<header><p>${p(8)}</p></header>`,
      `<aside><p>${p(8)}</p></aside>`,
      `<div class="sidebar widget"><p>${p(8)}</p></div>`,
      `<div id="cookie-banner"><p>${p(8)}</p></div>`,
      `<div role="navigation"><p>${p(8)}</p></div>`,
      `<div style="display: none"><p>${p(8)}</p></div>`,
      `<div hidden><p>${p(8)}</p></div>`,
      `<script>var a = "${p(8)}";</script>`,
      `<footer><p>${p(8)}</p></footer>`,
      "<p>© 2020 Somebody. All rights reserved.</p>",
      "<p>Menu</p><p>Log in</p>",
      `<p><a href="/">${p(8)}</a></p>`,
    ];
    for (const frame of frames) strictEqual(mainText(`<body>${frame}<div>${paragraphs(1, 3)}</div>${frame}</body>`), texts(1, 3), frame);
  });

  it("the posts of a forum are read, whatever stands between them, and comments under an article are not", () => {
    const posts = [1, 2, 3, 4].map(
      (n) => `<div class="post"><div class="author">Ann Lee</div><div class="content"><p>${p(n)}</p></div></div>`,
    );
    strictEqual(mainText(`<nav>${links}</nav>${posts.join("")}<footer>Imprint</footer>`), texts(1, 4));
    const open = posts.map((post) => post.replaceAll("</div>", ""));
    strictEqual(mainText(`<nav>${links}</nav>${open.join("")}`), texts(1, 4));
    const comments = [1, 2, 3].map((n) => `<div class="comment"><p>${p(n)}</p></div>`).join("");
    strictEqual(mainText(`<nav>${links}</nav><div class="comments">${comments}</div>`), texts(1, 3));
    strictEqual(mainText(`<div class="entry">${paragraphs(5, 8)}</div>${comments}`), texts(5, 8));
  });

  it("lists, tables and code keep their form", () => {
    const table = "<table><tr><th>Name<th>Count</tr><tr><td>Ann</td><td>3</td></tr></table>";
    const code = "<pre><code>\nfor x in y:\n    print(x &lt; 3)\n\n</code></pre>";
    const html = `<article>${paragraphs(1, 1)}<ul><li>one<li>two</ul>${table}${code}${paragraphs(2, 2)}</article>`;
    strictEqual(mainText(html), [p(1), "- one\n- two", "Name\tCount\nAnn\t3", "for x in y:\n    print(x < 3)", p(2)].join("\n\n"));
  });

  it("a table that lays out the page is read cell by cell", () => {
    const html = `<table><tr><td>Menu<br>News<br>Login</td><td><b>Title</b><br><br>${p(1)}<br><br>${p(2)}</td></tr></table>`;
    strictEqual(mainText(html), `${p(1)}\n${p(2)}`);
  });

  it("short texts between long ones are text, and so is a page of short texts alone", () => {
    strictEqual(
      mainText(`<div>${paragraphs(1, 1)}<p>Yes.</p><h2>Part two</h2>${paragraphs(2, 2)}</div>`),
      [p(1), "Yes.", "Part two", p(2)].join("\n\n"),
    );
    strictEqual(mainText("<p>Hello world</p>"), "Hello world");
    strictEqual(mainText(`<nav>${links}</nav>`), "");
    strictEqual(mainText(""), "");
  });

  it("characters and words of other scripts are kept", () => {
    strictEqual(mainText("<p>&Eacute;t&eacute; &amp; &#x6f22;&#23383; &lt;b&gt;"), "Été & 漢字 <b>");
    const japanese = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。";
    strictEqual(mainText(`<nav>${links}</nav><p>${japanese}</p><nav>${links}</nav>`), japanese);
  });

  it("a tag in a line does not divide a word, and a misplaced end does not end the page", () => {
    strictEqual(
      mainText(`<p>A re<b>ad</b>er came for <i>this</i> text, which is long enough.</p>`),
      "A reader came for this text, which is long enough.",
    );
    match(mainText(`<div></nav></a></b></td></section>${paragraphs(1, 1)}</div>`), /^Paragraph 1/);
    doesNotMatch(mainText(`<nav><b></div>${links}<p>${p(9)}</p></nav>${paragraphs(1, 2)}`), /Paragraph 9/);
  });

  it("hostile pages take time and memory in proportion to their size", () => {
    const n = 20_000;
    const pages = [
      "<div>".repeat(n),
      "<div>".repeat(n) + "</section></div>".repeat(n),
      "<b>".repeat(n),
      "<ul><li>".repeat(n),
      "<td>x".repeat(n),
      "<a href=x>".repeat(n),
      "<".repeat(n),
      "&".repeat(n),
      "&#x41;".repeat(n),
      `<pre>${" \n".repeat(n)}`,
      `<div class='${"ad ".repeat(n)}'>`,
      "<span class=ad>x</span>".repeat(n),
      `<!--${"-".repeat(n)}`,
      "<svg>".repeat(n),
      `<p>${"\"')".repeat(n)}`,
    ];
    for (const page of pages) ok(mainText(`${page}</svg><p>${p(1)}`).length <= 2 * page.length + 200);
  });

  it("elements above the maximum depth are not looked at, so that no tag searches a deep page", () => {
    const zoneAt = (depth: number): string | undefined => readBlocks(`${"<div>".repeat(depth)}<nav>${p(1)}`)[0]?.zone;
    deepStrictEqual([zoneAt(500), zoneAt(600)], ["frame", "plain"]);
  });
});
