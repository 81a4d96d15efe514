import { escapeHtml } from "./svg.js";

/**
 * One HTML file without scripts and without links to other files.
 *
 * @param title plain text
 * @param body HTML
 */
export const htmlDocument = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
${body}
</body>
</html>
`;

/** The most important figures of a page, each with its name. Both are plain text. */
export const htmlFacts = (facts: readonly (readonly [what: string, value: string])[]): string =>
  `<dl>${facts.map(([what, value]) => `<div><dt>${escapeHtml(what)}</dt><dd>${escapeHtml(value)}</dd></div>`).join("")}</dl>`;

/** A table. The cells are plain text. */
export const htmlTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table><thead><tr>${head.map((cell) => `<th>${escapeHtml(cell)}</th>`).join("")}</tr></thead><tbody>${rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`).join("")}</tbody></table>`;

/** Okabe and Ito's colours, which colour-blind people can distinguish. */
const style = `
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #16181c; --line: #444 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1160px; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line) }
.warning { border-left: 3px solid #d55e00; padding: .3rem .8rem; overflow-wrap: anywhere }
dl { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem } dt { font-size: .85em; opacity: .75 } dd { margin: 0; font-size: 1.25em; font-weight: 600 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
svg { width: 100%; height: auto; display: block } .label, .tick { font-size: 12px; fill: var(--ink) } .tick { opacity: .7 }
.legend i { display: inline-block; width: .9em; height: .9em; margin: 0 .35em 0 1em; vertical-align: -.1em }
.forward { fill: #0072b2; background: #0072b2 } .recompute { fill: #56b4e9; background: #56b4e9 } .backward { fill: #009e73; background: #009e73 } .update { fill: #cc79a7; background: #cc79a7 }
.wait { fill: #999; background: #999 } .all_gather { fill: #e69f00; background: #e69f00 } .reduce_scatter { fill: #d55e00; background: #d55e00 } .all_reduce { fill: #f0e442; background: #f0e442 }
.all_to_all, .offload, .reload { fill: #cc79a7 } .link { stroke: #d55e00 } .link.d0 { stroke: #e69f00 }
${Array.from({ length: 8 }, (_, i) => `.s${i} { fill: hsl(204 60% ${82 - 7 * i}%) }`).join(" ")}
`;
