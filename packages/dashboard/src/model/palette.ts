/** Colours for any colour vision: those of Okabe and Ito for kinds, cividis for amounts. */

export const kinds = {
  blue: "#0072b2",
  sky: "#56b4e9",
  green: "#009e73",
  orange: "#e69f00",
  vermilion: "#d55e00",
  pink: "#cc79a7",
  yellow: "#f0e442",
  grey: "#8a939e",
} as const;
export const stateColours: Readonly<Record<string, string>> = {
  queued: kinds.grey,
  compiling: kinds.sky,
  placing: kinds.yellow,
  running: kinds.blue,
  done: kinds.green,
  failed: kinds.vermilion,
  cancelled: kinds.pink,
};

export const memoryColours: Readonly<Record<string, string>> = {
  params: kinds.blue,
  optimizer: kinds.sky,
  gradients: kinds.orange,
  activations: kinds.green,
  temporary: kinds.pink,
};

export const phaseColours: Readonly<Record<string, string>> = {
  forward: kinds.blue,
  backward: kinds.vermilion,
  recompute: kinds.yellow,
  update: kinds.pink,
};

export const collectiveColours: Readonly<Record<string, string>> = {
  all_gather: kinds.sky,
  reduce_scatter: kinds.green,
  all_reduce: kinds.orange,
  all_to_all: kinds.pink,
  collective_permute: kinds.yellow,
};

/** Cividis (Nuñez, Anderton, Renslow 2018) at sixteenths. */
const cividis = [
  [0, 32, 77],
  [0, 42, 102],
  [17, 54, 112],
  [41, 64, 108],
  [59, 75, 107],
  [75, 86, 109],
  [91, 97, 112],
  [106, 108, 115],
  [122, 119, 118],
  [138, 131, 120],
  [156, 143, 118],
  [174, 156, 113],
  [193, 169, 106],
  [212, 183, 95],
  [232, 197, 80],
  [253, 234, 69],
] as const;

/** The colour of an amount between 0 (dark blue) and 1 (yellow); grey for NaN. */
export function amountColour(amount: number): string {
  if (!Number.isFinite(amount)) return kinds.grey;
  const [r, g, b] = amountRgb(amount);
  return `rgb(${r},${g},${b})`;
}

export function amountRgb(amount: number): readonly [number, number, number] {
  const at = Math.min(1, Math.max(0, amount)) * (cividis.length - 1);
  const low = Math.floor(at);
  const a = cividis[low] ?? cividis[0];
  const b = cividis[Math.min(low + 1, cividis.length - 1)] ?? a;
  const mix = (i: 0 | 1 | 2): number => Math.round(a[i] + (b[i] - a[i]) * (at - low));
  return [mix(0), mix(1), mix(2)];
}

const few = [kinds.blue, kinds.orange, kinds.green, kinds.pink, kinds.sky, kinds.vermilion, kinds.yellow, kinds.grey] as const;

/** The colour of item `index` of `count`: a colour of a kind if there are few items, otherwise one of an amount. */
export function numberColour(index: number, count: number): string {
  return count <= few.length ? (few[index] ?? kinds.grey) : amountColour(count === 1 ? 0 : index / (count - 1));
}

/** Black or white, the one with more contrast on `colour`. */
export function foregroundOn(colour: string): "#000" | "#fff" {
  const [r, g, b] = rgbOf(colour);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) > 0.179 ? "#000" : "#fff";
}

function rgbOf(colour: string): [number, number, number] {
  const rgb = /^rgb\((\d+),(\d+),(\d+)\)$/.exec(colour);
  if (rgb !== null) return [Number(rgb[1]), Number(rgb[2]), Number(rgb[3])];
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)) as [number, number, number];
}

const linear = (c: number): number => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
