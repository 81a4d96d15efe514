/** Pure functions: the coordinator writes frames, the page reads them. Numbers are little-endian. */

/**
 * Frames of a stream, or a file:
 *
 *     u32 length of the rest │ u32 kind │ body
 *
 *     kind 1, worker steps   u32 workers │ u32 n │ n × { u32 step │ workers × { f32 total_ms, gemm_ms, other_ms, wait_ms } }
 *     kind 2, chips          u32 n │ n × u16 worker │ (pad to 4) │ n × f32 hbm_bytes │ n × f32 sent_bytes
 */
const frameKinds = { workerSteps: 1, chips: 2 } as const;

export interface WorkerStep {
  readonly step: number;
  /** Per worker: total, matmuls, other kernels, waiting for other workers. */
  readonly times: readonly WorkerTimes[];
}

export interface WorkerTimes {
  readonly total_ms: number;
  readonly gemm_ms: number;
  readonly other_ms: number;
  readonly wait_ms: number;
}

export interface ChipArrays {
  readonly worker: Uint16Array;
  readonly hbm_bytes: Float32Array;
  readonly sent_bytes: Float32Array;
}

export type Frame =
  | { readonly kind: "worker steps"; readonly workers: number; readonly steps: readonly WorkerStep[] }
  | { readonly kind: "chips"; readonly chips: ChipArrays };

const fields = 4;

export function encodeWorkerSteps(workers: number, steps: readonly WorkerStep[]): Uint8Array<ArrayBuffer> {
  const stride = 4 + workers * fields * 4;
  const { bytes, view, body } = newFrame(frameKinds.workerSteps, 8 + steps.length * stride);
  view.setUint32(body, workers, true);
  view.setUint32(body + 4, steps.length, true);
  steps.forEach(({ step, times }, i) => {
    const at = body + 8 + i * stride;
    view.setUint32(at, step, true);
    for (let w = 0; w < workers; w++) {
      const { total_ms = 0, gemm_ms = 0, other_ms = 0, wait_ms = 0 } = times[w] ?? {};
      [total_ms, gemm_ms, other_ms, wait_ms].forEach((value, f) => view.setFloat32(at + 4 + (w * fields + f) * 4, value, true));
    }
  });
  return bytes;
}

export function encodeChips({ worker, hbm_bytes, sent_bytes }: ChipArrays): Uint8Array<ArrayBuffer> {
  const n = worker.length;
  const padded = Math.ceil(n / 2) * 4;
  const { bytes, view, body } = newFrame(frameKinds.chips, 4 + padded + n * 8);
  view.setUint32(body, n, true);
  worker.forEach((value, i) => view.setUint16(body + 4 + i * 2, value, true));
  hbm_bytes.forEach((value, i) => view.setFloat32(body + 4 + padded + i * 4, value, true));
  sent_bytes.forEach((value, i) => view.setFloat32(body + 4 + padded + (n + i) * 4, value, true));
  return bytes;
}

function newFrame(kind: number, length: number): { bytes: Uint8Array<ArrayBuffer>; view: DataView; body: number } {
  const bytes = new Uint8Array(8 + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4 + length, true);
  view.setUint32(4, kind, true);
  return { bytes, view, body: 8 };
}

/** The maximum length of a frame; a longer frame is invalid. */
const longestFrame = 1 << 26;

/** Reads bytes in chunks of any size and returns complete frames. It skips unknown kinds. */
export class FrameReader {
  #rest = new Uint8Array(0);

  push(piece: Uint8Array): Frame[] {
    const bytes = new Uint8Array(this.#rest.length + piece.length);
    bytes.set(this.#rest);
    bytes.set(piece, this.#rest.length);
    const view = new DataView(bytes.buffer);
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= 8) {
      const length = view.getUint32(at, true);
      if (length < 4 || length > longestFrame) throw new Error(`a frame cannot have ${length} bytes`);
      if (bytes.length - at - 4 < length) break;
      const frame = decode(view.getUint32(at + 4, true), new DataView(bytes.buffer, at + 8, length - 4));
      if (frame !== undefined) frames.push(frame);
      at += 4 + length;
    }
    this.#rest = bytes.slice(at);
    return frames;
  }
}

function decode(kind: number, view: DataView): Frame | undefined {
  const holds = (bytes: number): void => {
    if (view.byteLength !== bytes) throw new Error(`a frame cannot have ${view.byteLength} bytes if its counts need ${bytes}`);
  };
  if (kind === frameKinds.workerSteps) {
    if (view.byteLength < 8) throw new Error("a frame cannot be without its counts");
    const workers = view.getUint32(0, true);
    const stride = 4 + workers * fields * 4;
    holds(8 + view.getUint32(4, true) * stride);
    const steps = Array.from({ length: view.getUint32(4, true) }, (_, i): WorkerStep => {
      const at = 8 + i * stride;
      const times = Array.from({ length: workers }, (__, w): WorkerTimes => {
        const value = (f: number): number => view.getFloat32(at + 4 + (w * fields + f) * 4, true);
        return { total_ms: value(0), gemm_ms: value(1), other_ms: value(2), wait_ms: value(3) };
      });
      return { step: view.getUint32(at, true), times };
    });
    return { kind: "worker steps", workers, steps };
  }
  if (kind === frameKinds.chips) {
    if (view.byteLength < 4) throw new Error("a frame cannot be without its counts");
    const n = view.getUint32(0, true);
    const padded = Math.ceil(n / 2) * 4;
    holds(4 + padded + n * 8);
    return {
      kind: "chips",
      chips: {
        worker: Uint16Array.from({ length: n }, (_, i) => view.getUint16(4 + i * 2, true)),
        hbm_bytes: Float32Array.from({ length: n }, (_, i) => view.getFloat32(4 + padded + i * 4, true)),
        sent_bytes: Float32Array.from({ length: n }, (_, i) => view.getFloat32(4 + padded + (n + i) * 4, true)),
      },
    };
  }
  return undefined;
}
