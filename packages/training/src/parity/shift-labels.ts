import { type ArrayData, f32Array, i32Array } from "@lapidary/interop";
import { ensure } from "@lapidary/std";

/** Targets and mask of labels [B, T]: position t is trained on label t + 1, unless it is −100. The last position of a row has no label. */
export function shiftLabels(labels: ArrayData): { targets: ArrayData; mask: ArrayData } {
  const [batch = 0, seq = 0] = labels.dims;
  const [targets, mask] = [new Int32Array(batch * seq), new Float32Array(batch * seq)];
  for (let i = 0; i < batch * seq; i++) {
    const label = (i + 1) % seq === 0 ? -100 : ensure(labels.data[i + 1], "label");
    if (label === -100) continue;
    targets[i] = label;
    mask[i] = 1;
  }
  return { targets: i32Array(labels.dims, targets), mask: f32Array(labels.dims, mask) };
}
