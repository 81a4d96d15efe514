import { formatDuration, counted } from "@lapidary/std";
import type { JobSummary, Status } from "@lapidary/api";

/** The page at `/`: the runs with links to their JSON. It has no scripts, and reloads itself while a job runs. */
export function runsPage(status: Status, jobs: readonly JobSummary[], now: number): string {
  const busy = jobs.some(({ finished_at }) => finished_at === undefined);
  const rows = jobs.map(
    (job) => `<tr><td><a href="api/jobs/${job.id}">${job.id}</a></td><td class="${job.state}">${job.state}</td><td>${escape(job.model)}</td>
<td>${escape(job.mesh)}</td><td class="n">${job.step}/${job.steps}</td><td class="n">${job.loss?.toFixed(3) ?? ""}</td>
<td class="n">${job.heldout_loss?.toFixed(3) ?? ""}</td><td class="n">${job.started_at === undefined ? "" : formatDuration((job.finished_at ?? now) - job.started_at)}</td>
<td>${["metrics", "logs", "checkpoints", ...(job.state === "done" ? ["report"] : [])].map((what) => `<a href="api/jobs/${job.id}/${what}">${what}</a>`).join(" ")}</td>
<td>${escape(job.error?.message ?? "")}</td></tr>`,
  );
  const pods =
    status.pods === undefined
      ? ""
      : ` · ${escape(status.pods.name)}: ${status.pods.free_chips} of ${counted(status.pods.chips, "chip")} free`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lapidary</title>${busy ? '<meta http-equiv="refresh" content="2">' : ""}
<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}
th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid #8884}.n{text-align:right;font-variant-numeric:tabular-nums}.failed{font-weight:bold}</style></head>
<body><h1>Lapidary</h1><p>${counted(status.workers.length, "worker")}${pods} · <a href="api/status">status</a></p>
<table><thead><tr><th>run</th><th>state</th><th>model</th><th>mesh</th><th>step</th><th>loss</th><th>held-out</th><th>time</th><th></th><th></th></tr></thead>
<tbody>${rows.join("\n")}</tbody></table></body></html>`;
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
