/**
 * The positions of the chips of some pods in the drawing. Each pod is a plane (with three torus dims: one plane for each coordinate along the
 * first). Planes are drawn in rows.
 *
 *     pod 0            pod 1
 *     ╷ ╷ ╷ ╷          ╷ ╷ ╷ ╷        x down, y to the right; half a link beyond
 *    ╶□─□─□─□╴        ╶□─□─□─□╴       the edge is a link that wraps around
 *    ╶□─□─□─□╴        ╶□─□─□─□╴
 *     ╵ ╵ ╵ ╵          ╵ ╵ ╵ ╵
 */
export interface TorusLayout {
  readonly podDims: readonly number[];
  readonly pods: number;
  readonly planes: readonly Plane[];
  readonly rows: number;
  readonly columns: number;
  /** Distance between the corners of adjacent chips. */
  readonly pitch: number;
  /** Side of the square of a chip; the rest of the pitch is the link. */
  readonly cell: number;
  readonly width: number;
  readonly height: number;
}

interface Plane {
  readonly pod: number;
  /** Coordinates along the dims before the last two. */
  readonly outer: readonly number[];
  readonly x: number;
  readonly y: number;
  readonly title: string;
}

const planeTitleHeight = 18;
/** Margin of a plane for the stubs of links that wrap, as a fraction of the pitch. */
const margin = 0.75;
const maxPitch = 34;
const minPitch = 4;

export function torusLayout(podDims: readonly number[], pods: number, width: number, maxHeight: number): TorusLayout {
  const rows = podDims.length >= 2 ? (podDims.at(-2) ?? 1) : 1;
  const columns = podDims.at(-1) ?? 1;
  const outerDims = podDims.slice(0, -2);
  const planesOfPod = outerDims.reduce((n, size) => n * size, 1);
  const count = planesOfPod * pods;
  const titleHeight = count > 1 ? planeTitleHeight : 0;
  const pitchFor = (planesPerRow: number): number => {
    const down = Math.ceil(count / planesPerRow);
    const fitWidth = width / planesPerRow / (columns + 2 * margin);
    const fitHeight = (maxHeight / down - titleHeight) / (rows + 2 * margin);
    return Math.min(fitWidth, fitHeight, maxPitch);
  };
  let planesPerRow = 1;
  // Prefer complete rows to slightly larger planes.
  const merit = (n: number): number => pitchFor(n) * (count % n === 0 ? 1.2 : 1);
  for (let n = 1; n <= count; n++) if (merit(n) > merit(planesPerRow) + 0.01) planesPerRow = n;
  const pitch = Math.max(minPitch, Math.floor(pitchFor(planesPerRow) * 2) / 2);
  const planeWidth = pitch * (columns + 2 * margin);
  const planeHeight = pitch * (rows + 2 * margin) + titleHeight;
  const planes = Array.from({ length: count }, (_, i): Plane => {
    const outer = coordinatesIn(outerDims, i % planesOfPod);
    const pod = Math.floor(i / planesOfPod);
    return {
      pod,
      outer,
      x: (i % planesPerRow) * planeWidth + margin * pitch,
      y: Math.floor(i / planesPerRow) * planeHeight + titleHeight + margin * pitch,
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
    width: Math.min(planesPerRow, count) * planeWidth,
    height: Math.ceil(count / planesPerRow) * planeHeight,
  };
}

/** The upper left corner of the square of a chip, by its pod and coordinates. */
export function cornerOf(layout: TorusLayout, pod: number, coordinates: readonly number[]): { readonly x: number; readonly y: number } {
  const outer = coordinates.slice(0, -2);
  const planesOfPod = layout.planes.length / layout.pods;
  const plane = layout.planes[pod * planesOfPod + indexIn(layout.podDims.slice(0, -2), outer)];
  const row = coordinates.length >= 2 ? (coordinates.at(-2) ?? 0) : 0;
  const inset = (layout.pitch - layout.cell) / 2;
  return { x: (plane?.x ?? 0) + (coordinates.at(-1) ?? 0) * layout.pitch + inset, y: (plane?.y ?? 0) + row * layout.pitch + inset };
}

/** The chip at a point, if any. */
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

/** Whether the links of a dim wrap around: only if it has the full length of a pod, which is 16 on v5e. */
export const wraps = (podDims: readonly number[], dim: number): boolean => (podDims[dim] ?? 1) >= 16;

// ---- a job's slice ----

export interface SliceRect {
  readonly pod: number;
  readonly pods: number;
  readonly origin: readonly number[];
  readonly dims: readonly number[];
}

/** The position of chip number `chip` of a job's mesh: row-major over pods, then over the slice. */
export function positionOfChip(slice: SliceRect, chip: number): { readonly pod: number; readonly coordinates: readonly number[] } {
  const perPod = slice.dims.reduce((n, size) => n * size, 1);
  const inSlice = coordinatesIn(slice.dims, chip % perPod);
  return { pod: slice.pod + Math.floor(chip / perPod), coordinates: inSlice.map((c, d) => c + (slice.origin[d] ?? 0)) };
}

/** The inverse of `positionOfChip`; undefined outside the slice. */
export function chipAtPosition(slice: SliceRect, pod: number, coordinates: readonly number[]): number | undefined {
  const perPod = slice.dims.reduce((n, size) => n * size, 1);
  const inSlice = coordinates.map((c, d) => c - (slice.origin[d] ?? 0));
  const inside = pod >= slice.pod && pod < slice.pod + slice.pods && inSlice.every((c, d) => c >= 0 && c < (slice.dims[d] ?? 1));
  return inside ? (pod - slice.pod) * perPod + indexIn(slice.dims, inSlice) : undefined;
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

const indexIn = (dims: readonly number[], coordinates: readonly number[]): number =>
  coordinates.reduce((n, c, d) => n * (dims[d] ?? 1) + c, 0);
