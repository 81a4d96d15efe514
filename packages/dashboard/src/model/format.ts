/** Formats numbers for the page. Byte prefixes are decimal, like those of the chip's memory: 16 GB. */

const prefixes = ["", "k", "M", "G", "T", "P"] as const;

export function bytes(value: number): string {
  return withPrefix(value, "B");
}

export function count(value: number): string {
  return withPrefix(value, "").trimEnd();
}

export function flops(value: number): string {
  return withPrefix(value, "FLOP");
}

function withPrefix(value: number, unit: string): string {
  if (!Number.isFinite(value)) return "–";
  let [scaled, at] = [value, 0];
  while (Math.abs(scaled) >= 999.5 && at < prefixes.length - 1) [scaled, at] = [scaled / 1000, at + 1];
  return `${digits(scaled, at === 0)} ${prefixes[at] ?? ""}${unit}`;
}

function digits(value: number, whole: boolean): string {
  if (whole && Number.isInteger(value)) return String(value);
  // Write 16 GB instead of 16.0 GB.
  if (Math.abs(value - Math.round(value)) < 1e-9) return String(Math.round(value));
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** Four digits, without trailing zeros: 0.003, 2.718, 1.2e-7. */
export function number(value: number | undefined | null, precision = 4): string {
  if (value === undefined || value === null || !Number.isFinite(value)) return notFinite(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(Math.max(0, precision - 2)).replace("e+", "e");
  return String(Number(value.toPrecision(precision)));
}

/** A loss with three decimals. */
export const loss = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? notFinite(value) : value.toFixed(3);

/** An infinity is a measured value; NaN and missing values are a dash. */
const notFinite = (value: number | undefined | null): string => (value === Infinity ? "∞" : value === -Infinity ? "-∞" : "–");

export function micros(us: number): string {
  if (!Number.isFinite(us)) return "–";
  if (us === 0) return "0";
  if (us < 0.9995) return `${Number((us * 1000).toPrecision(3))} ns`;
  if (us < 999.5) return `${Number(us.toPrecision(3))} µs`;
  if (us < 999_500) return `${Number((us / 1000).toPrecision(3))} ms`;
  return `${Number((us / 1e6).toPrecision(3))} s`;
}

export const millis = (ms: number): string => micros(ms * 1000);

export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export const clock = (ms: number): string => new Date(ms).toTimeString().slice(0, 8);
export const date = (ms: number): string => {
  const at = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
};

export const percent = (share: number): string =>
  share > 0 && share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(share >= 0.1 ? 0 : 1)} %`;

/** Replaces control characters by visible symbols, so that text stays on one line. */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}
