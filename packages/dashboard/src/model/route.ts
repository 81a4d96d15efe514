/** What the address says: which page, and on a run's page every panel and selection. It lies behind the `#`, so that a saved page has it too. */
export type Route =
  | { readonly page: "runs" }
  | { readonly page: "run"; readonly id: string; readonly view: RunView }
  | { readonly page: "compare"; readonly a: string; readonly b: string }
  | { readonly page: "launch"; readonly file: string }
  | { readonly page: "unknown"; readonly text: string };

/** Panels in the order in which they stand. */
export const panels = [
  "torus",
  "header",
  "curves",
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

export const colourings = ["state", "step time", "hbm", "bytes sent", "owner"] as const;
export type Colouring = (typeof colourings)[number];

export interface RunView {
  readonly panel?: PanelName;
  readonly colour: Colouring;
  /** Pinned chip, by its number in the mesh. */
  readonly chip?: number;
  readonly tensor?: string;
  /** Mesh axis whose replica groups are drawn. */
  readonly axis?: string;
  /** Chosen op of the timeline, by its number. */
  readonly op?: number;
  /** Part of the timeline that is shown, in microseconds. */
  readonly time?: Span;
  /** Recorded step whose calls are shown; the newest by default. */
  readonly calls?: number;
  /** Steps that the curves show. */
  readonly steps?: Span;
  readonly log: string;
  readonly source: string;
}

export interface Span {
  readonly from: number;
  readonly to: number;
}

export const emptyView: RunView = { colour: "state", log: "", source: "" };

/** The part of the address from `#` on; whatever does not make sense in it is passed over. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = splitAt(hash.replace(/^#/, ""), "?");
  const given = new URLSearchParams(query);
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decode);
  const [first, second] = parts;
  if (first === undefined) return { page: "runs" };
  if (first === "run" && second !== undefined && parts.length === 2) return { page: "run", id: second, view: parseView(given) };
  if (first === "compare" && parts.length === 1) return { page: "compare", a: given.get("a") ?? "", b: given.get("b") ?? "" };
  if (first === "launch" && parts.length === 1) return { page: "launch", file: given.get("file") ?? "" };
  return { page: "unknown", text: path };
}

export function printRoute(route: Route): string {
  switch (route.page) {
    case "runs":
      return "#/";
    case "run":
      return `#/run/${encodeURIComponent(route.id)}${queryOf(route.view)}`;
    case "compare":
      return `#/compare?${new URLSearchParams({ a: route.a, b: route.b })}`;
    case "launch":
      return route.file === "" ? "#/launch" : `#/launch?${new URLSearchParams({ file: route.file })}`;
    case "unknown":
      return `#${route.text}`;
  }
}

function parseView(given: URLSearchParams): RunView {
  const chip = wholeNumber(given.get("chip"));
  const op = wholeNumber(given.get("op"));
  const calls = wholeNumber(given.get("calls"));
  const panel = panels.find((name) => name === given.get("panel"));
  const time = spanOf(given.get("time"));
  const steps = spanOf(given.get("steps"));
  const tensor = given.get("tensor");
  const axis = given.get("axis");
  return {
    colour: colourings.find((name) => name === given.get("colour")) ?? emptyView.colour,
    log: given.get("log") ?? "",
    source: given.get("source") ?? "",
    ...(panel === undefined ? {} : { panel }),
    ...(chip === undefined ? {} : { chip }),
    ...(op === undefined ? {} : { op }),
    ...(calls === undefined ? {} : { calls }),
    ...(tensor === null ? {} : { tensor }),
    ...(axis === null ? {} : { axis }),
    ...(time === undefined ? {} : { time }),
    ...(steps === undefined ? {} : { steps }),
  };
}

function queryOf({ panel, colour, chip, tensor, axis, op, calls, time, steps, log, source }: RunView): string {
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
  set("time", time === undefined ? undefined : `${short(time.from)}~${short(time.to)}`);
  set("steps", steps === undefined ? undefined : `${short(steps.from)}~${short(steps.to)}`);
  set("log", log);
  set("source", source);
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

const short = (value: number): string => String(Number(value.toPrecision(6)));

function splitAt(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // A lone % is what it is.
    return part;
  }
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function spanOf(text: string | null): Span | undefined {
  const match = /^([\d.e+-]+)~([\d.e+-]+)$/.exec(text ?? "");
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && Number.isFinite(from) && Number.isFinite(to) && from < to ? { from, to } : undefined;
}
