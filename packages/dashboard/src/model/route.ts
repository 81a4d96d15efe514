/** The page in the URL, with every selection of a run's page. It is after the `#`, so that a saved page has it too. */
export type Route =
  | { readonly page: "runs" }
  | { readonly page: "run"; readonly id: string; readonly view: RunView }
  | { readonly page: "compare"; readonly a: string; readonly b: string }
  | { readonly page: "launch"; readonly file: string }
  | { readonly page: "pipeline"; readonly id: string }
  | { readonly page: "datasets" }
  | { readonly page: "dataset"; readonly id: string }
  | { readonly page: "unknown"; readonly text: string };

/** Panels in the order of the page. A run without samples or without a comparison does not have those panels. */
export const panels = [
  "torus",
  "header",
  "comparison",
  "curves",
  "samples",
  "workers",
  "timeline",
  "memory",
  "shards",
  "collectives",
  "events",
  "logs",
  "config",
] as const;
export type PanelName = (typeof panels)[number];

/** The keys that select panels. */
export const panelKeys: Readonly<Record<PanelName, string>> = {
  torus: "1",
  header: "2",
  curves: "3",
  workers: "4",
  timeline: "5",
  memory: "6",
  shards: "7",
  collectives: "8",
  events: "9",
  logs: "0",
  config: "-",
  samples: "s",
  comparison: "c",
};

export const colourings = ["state", "step time", "hbm", "bytes sent", "owner"] as const;
export type Colouring = (typeof colourings)[number];

export interface RunView {
  readonly panel?: PanelName;
  readonly colour: Colouring;
  /** The pinned chip, by its number in the mesh. */
  readonly chip?: number;
  readonly tensor?: string;
  /** The mesh axis of the drawn replica groups. */
  readonly axis?: string;
  /** The selected op of the timeline, by its number. */
  readonly op?: number;
  /** The shown part of the timeline, in microseconds. */
  readonly time?: Span;
  /** The recorded step of the shown calls; the newest by default. */
  readonly calls?: number;
  /** The steps that the curves show. */
  readonly steps?: Span;
  /** The prompt whose completions are shown, by `promptKey`. */
  readonly prompt?: string;
  /** The steps whose completions are shown side by side; the first and the newest by default. */
  readonly sampled?: readonly number[];
  readonly log: string;
  readonly source: string;
}

export interface Span {
  readonly from: number;
  readonly to: number;
}

export const emptyView: RunView = { colour: "state", log: "", source: "" };

/** Parses the part of the URL from `#` on; invalid values are ignored. */
export function parseRoute(hash: string): Route {
  const [path = "", queryText = ""] = splitAt(hash.replace(/^#/, ""), "?");
  const query = new URLSearchParams(queryText);
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decode);
  const [first, second] = parts;
  if (first === undefined) return { page: "runs" };
  if (first === "run" && second !== undefined && parts.length === 2) return { page: "run", id: second, view: parseView(query) };
  if (first === "pipeline" && second !== undefined && parts.length === 2) return { page: "pipeline", id: second };
  if (first === "data" && parts.length === 1) return { page: "datasets" };
  if (first === "data" && second !== undefined && parts.length === 2) return { page: "dataset", id: second };
  if (first === "compare" && parts.length === 1) return { page: "compare", a: query.get("a") ?? "", b: query.get("b") ?? "" };
  if (first === "launch" && parts.length === 1) return { page: "launch", file: query.get("file") ?? "" };
  return { page: "unknown", text: path };
}

export function printRoute(route: Route): string {
  switch (route.page) {
    case "runs":
      return "#/";
    case "run":
      return `#/run/${encodeURIComponent(route.id)}${printQuery(route.view)}`;
    case "pipeline":
      return `#/pipeline/${encodeURIComponent(route.id)}`;
    case "datasets":
      return "#/data";
    case "dataset":
      return `#/data/${encodeURIComponent(route.id)}`;
    case "compare":
      return `#/compare?${new URLSearchParams({ a: route.a, b: route.b })}`;
    case "launch":
      return route.file === "" ? "#/launch" : `#/launch?${new URLSearchParams({ file: route.file })}`;
    case "unknown":
      return `#${route.text}`;
  }
}

function parseView(query: URLSearchParams): RunView {
  const chip = wholeNumber(query.get("chip"));
  const op = wholeNumber(query.get("op"));
  const calls = wholeNumber(query.get("calls"));
  const panel = panels.find((name) => name === query.get("panel"));
  const time = spanOf(query.get("time"));
  const steps = spanOf(query.get("steps"));
  const tensor = query.get("tensor");
  const prompt = query.get("prompt");
  const sampled = stepsOf(query.get("sampled"));
  const axis = query.get("axis");
  return {
    colour: colourings.find((name) => name === query.get("colour")) ?? emptyView.colour,
    log: query.get("log") ?? "",
    source: query.get("source") ?? "",
    ...(panel === undefined ? {} : { panel }),
    ...(chip === undefined ? {} : { chip }),
    ...(op === undefined ? {} : { op }),
    ...(calls === undefined ? {} : { calls }),
    ...(tensor === null ? {} : { tensor }),
    ...(axis === null ? {} : { axis }),
    ...(time === undefined ? {} : { time }),
    ...(steps === undefined ? {} : { steps }),
    ...(prompt === null ? {} : { prompt }),
    ...(sampled.length === 0 ? {} : { sampled }),
  };
}

function printQuery({ panel, colour, chip, tensor, axis, op, calls, time, steps, prompt, sampled, log, source }: RunView): string {
  const query = new URLSearchParams();
  const set = (name: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== "") query.set(name, String(value));
  };
  set("panel", panel);
  if (colour !== emptyView.colour) set("colour", colour);
  set("chip", chip);
  set("tensor", tensor);
  set("axis", axis);
  set("op", op);
  set("calls", calls);
  set("time", time === undefined ? undefined : `${roundForUrl(time.from)}~${roundForUrl(time.to)}`);
  set("steps", steps === undefined ? undefined : `${roundForUrl(steps.from)}~${roundForUrl(steps.to)}`);
  set("prompt", prompt);
  set("sampled", sampled?.join("."));
  set("log", log);
  set("source", source);
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

const roundForUrl = (value: number): string => String(Number(value.toPrecision(6)));

function splitAt(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // Keep a % that does not start an escape.
    return part;
  }
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** `1.20.400`, at most eight. */
const stepsOf = (text: string | null): number[] =>
  /^\d{1,9}(\.\d{1,9}){0,7}$/.test(text ?? "") ? [...new Set((text ?? "").split(".").map(Number))] : [];

function spanOf(text: string | null): Span | undefined {
  const match = /^([\d.e+-]+)~([\d.e+-]+)$/.exec(text ?? "");
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && Number.isFinite(from) && Number.isFinite(to) && from < to ? { from, to } : undefined;
}
