/**
 * Where the chips of some pods are drawn. A plane is drawn for each pod (of a torus of three dims for each place along the first), planes stand
 * side by side and wrap into rows.
 *
 *     pod 0            pod 1
 *     ╷ ╷ ╷ ╷          ╷ ╷ ╷ ╷        x downwards, y to the right; half a link beyond
 *    ╶□─□─□─□╴        ╶□─□─□─□╴       the edge stands for the one that wraps around
 *    ╶□─□─□─□╴        ╶□─□─□─□╴
 *     ╵ ╵ ╵ ╵          ╵ ╵ ╵ ╵
 */
export interface TorusLayout {
  readonly podDims: readonly number[];
  readonly pods: number;
  readonly planes: readonly Plane[];
  readonly rows: number;
  readonly columns: number;
  /** From one chip's corner to the next. */
  readonly pitch: number;
  /** Side of a chip's square; the rest of the pitch is the link. */
  readonly cell: number;
  readonly width: number;
  readonly height: number;
}

export interface Plane {
  readonly pod: number;
  /** Coordinates along the dims before the last two. */
  readonly outer: readonly number[];
  readonly x: number;
  readonly y: number;
  readonly title: string;
}

const titleRoom = 18;
/** Room around a plane for the stubs of links that wrap, in parts of the pitch. */
const margin = 0.75;
const largestPitch = 34;
const smallestPitch = 4;

export function torusLayout(podDims: readonly number[], pods: number, width: number, tallest: number): TorusLayout {
  const rows = podDims.length >= 2 ? (podDims.at(-2) ?? 1) : 1;
  const columns = podDims.at(-1) ?? 1;
  const outerDims = podDims.slice(0, -2);
  const planesOfPod = outerDims.reduce((n, size) => n * size, 1);
  const count = planesOfPod * pods;
  const titleHeight = count > 1 ? titleRoom : 0;
  const pitchFor = (across: number): number => {
    const down = Math.ceil(count / across);
    const fitWidth = width / across / (columns + 2 * margin);
    const fitHeight = (tallest / down - titleHeight) / (rows + 2 * margin);
    return Math.min(fitWidth, fitHeight, largestPitch);
  };
  let across = 1;
  // Whole rows look better than the last bit of size.
  const merit = (n: number): number => pitchFor(n) * (count % n === 0 ? 1.2 : 1);
  for (let n = 1; n <= count; n++) if (merit(n) > merit(across) + 0.01) across = n;
  const pitch = Math.max(smallestPitch, Math.floor(pitchFor(across) * 2) / 2);
  const planeWidth = pitch * (columns + 2 * margin);
  const planeHeight = pitch * (rows + 2 * margin) + titleHeight;
  const planes = Array.from({ length: count }, (_, i): Plane => {
    const outer = coordinatesIn(outerDims, i % planesOfPod);
    const pod = Math.floor(i / planesOfPod);
    return {
      pod,
      outer,
      x: (i % across) * planeWidth + margin * pitch,
      y: Math.floor(i / across) * planeHeight + titleHeight + margin * pitch,
      title: `pod ${pod}${outer.length === 0 ? "" : `, z ${outer.join(",")}`}`,
    };
  });
  const cell = pitch >= 12 ? Math.round(pitch * 0.74) : Math.max(2, pitch - 1.5);
  return {
    podDims,
    pods,
    planes,
    rows,
    columns,
    pitch,
    cell,
    width: Math.min(across, count) * planeWidth,
    height: Math.ceil(count / across) * planeHeight,
  };
}

/** Of a chip in a pod, by its coordinates: the upper left corner of its square. */
export function cornerOf(layout: TorusLayout, pod: number, coordinates: readonly number[]): { readonly x: number; readonly y: number } {
  const outer = coordinates.slice(0, -2);
  const planesOfPod = layout.planes.length / layout.pods;
  const plane = layout.planes[pod * planesOfPod + numberIn(layout.podDims.slice(0, -2), outer)];
  const row = coordinates.length >= 2 ? (coordinates.at(-2) ?? 0) : 0;
  const inset = (layout.pitch - layout.cell) / 2;
  return { x: (plane?.x ?? 0) + (coordinates.at(-1) ?? 0) * layout.pitch + inset, y: (plane?.y ?? 0) + row * layout.pitch + inset };
}

/** The chip at a point, if one is there. */
export function chipAt(
  layout: TorusLayout,
  x: number,
  y: number,
): { readonly pod: number; readonly coordinates: readonly number[] } | undefined {
  for (const plane of layout.planes) {
    const column = Math.floor((x - plane.x) / layout.pitch);
    const row = Math.floor((y - plane.y) / layout.pitch);
    if (column < 0 || row < 0 || column >= layout.columns || row >= layout.rows) continue;
    return { pod: plane.pod, coordinates: layout.podDims.length >= 2 ? [...plane.outer, row, column] : [column] };
  }
  return undefined;
}

/** A dim's links wrap around when it is as long as a pod of its kind: on v5e, 16. */
export const wraps = (podDims: readonly number[], dim: number): boolean => (podDims[dim] ?? 1) >= 16;

// ---- a job's slice ----

export interface SliceRect {
  readonly pod: number;
  readonly pods: number;
  readonly origin: readonly number[];
  readonly dims: readonly number[];
}

/** Where chip number `chip` of a job's mesh lies: row-major over pods, then over the slice. */
export function placeOfChip(slice: SliceRect, chip: number): { readonly pod: number; readonly coordinates: readonly number[] } {
  const perPod = slice.dims.reduce((n, size) => n * size, 1);
  const inSlice = coordinatesIn(slice.dims, chip % perPod);
  return { pod: slice.pod + Math.floor(chip / perPod), coordinates: inSlice.map((c, d) => c + (slice.origin[d] ?? 0)) };
}

/** Inverse of `placeOfChip`; undefined outside of the slice. */
export function chipOfPlace(slice: SliceRect, pod: number, coordinates: readonly number[]): number | undefined {
  const perPod = slice.dims.reduce((n, size) => n * size, 1);
  const inSlice = coordinates.map((c, d) => c - (slice.origin[d] ?? 0));
  const inside = pod >= slice.pod && pod < slice.pod + slice.pods && inSlice.every((c, d) => c >= 0 && c < (slice.dims[d] ?? 1));
  return inside ? (pod - slice.pod) * perPod + numberIn(slice.dims, inSlice) : undefined;
}

export function coordinatesIn(dims: readonly number[], index: number): number[] {
  const coordinates: number[] = [];
  let rest = index;
  for (let d = dims.length - 1; d >= 0; d--) {
    const size = dims[d] ?? 1;
    coordinates.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return coordinates;
}

const numberIn = (dims: readonly number[], coordinates: readonly number[]): number =>
  coordinates.reduce((n, c, d) => n * (dims[d] ?? 1) + c, 0);
