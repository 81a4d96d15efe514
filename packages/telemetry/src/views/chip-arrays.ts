import { makeWorkerGrid, meshSize, parseMesh, workerOfChip } from "@lapidary/topology";
import type { ChipArrays } from "@lapidary/api/frames";
import type { ProgramView } from "@lapidary/api/program-view";

/**
 * The arrays of every chip of a run at the peak of a step, the bytes it sends in a step, and the worker that emulates it; chips by number in the
 * mesh.
 */
export function chipArrays(view: ProgramView, workers: number): ChipArrays {
  const mesh = parseMesh(view.mesh);
  const chips = meshSize(mesh);
  const grid = makeWorkerGrid(mesh, Math.max(1, workers));
  const sent = view.link_bytes.dcn + view.link_bytes.dims.reduce((sum, bytes) => sum + bytes, 0);
  return {
    worker: Uint16Array.from({ length: chips }, (_, chip) => workerOfChip(mesh, grid, chip)),
    hbm_bytes: new Float32Array(chips).fill(view.memory.peak_bytes),
    sent_bytes: new Float32Array(chips).fill(sent),
  };
}
