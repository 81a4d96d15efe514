import { createHash } from "node:crypto";
import { jsonText } from "@lapidary/std";

/**
 * The page of the dashboard as a single file that needs no server and no network: its script, style and fonts, and recorded data. Its content security
 * policy lets no other code run.
 *
 * @param read reads a file of the built page
 * @param recorded JSON, which the page finds in the element `recorded`
 */
export function standalonePage(read: (name: string) => Buffer, recorded: unknown): string {
  const index = read("index.html").toString("utf8");
  const script = read(nameIn(index, /src="\.\/(assets\/[^"]+\.js)"/))
    .toString("utf8")
    .replaceAll("</script", "<\\/script");
  const style = read(nameIn(index, /href="\.\/(assets\/[^"]+\.css)"/))
    .toString("utf8")
    .replaceAll(
      /url\((?:\.\/)?([^)/]+\.woff2)\)/g,
      (_, name: string) => `url(data:font/woff2;base64,${read(`assets/${name}`).toString("base64")})`,
    );
  const policy = `default-src 'none'; script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'; style-src 'unsafe-inline'; font-src data:; img-src data:; base-uri 'none'; form-action 'none'`;
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}">\n<style>${style}</style>`;
  // Escaped, so that the text cannot end the element.
  const data = jsonText(recorded).replaceAll("<", "\\u003c");
  return index
    .replace(/<script type="module"[^>]*><\/script>/, "")
    .replace(/<link rel="stylesheet"[^>]*>/, () => head)
    .replace(
      "</body>",
      () => `<script type="application/json" id="recorded">${data}</script>\n<script type="module">${script}</script>\n</body>`,
    );
}

function nameIn(index: string, pattern: RegExp): string {
  const name = pattern.exec(index)?.[1];
  if (name === undefined) throw new Error(`the page's index has nothing like ${pattern}`);
  return name;
}
