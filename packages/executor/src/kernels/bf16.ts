import type { Device } from "../device/device.js";
import type { DeviceTensor } from "../device/tfjs.js";

/** Rounds f32 numbers in place to the nearest bf16, ties to even. The lower 16 bits become 0. */
export function roundArrayToBf16(data: Float32Array): Float32Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i] as number;
    // A NaN must not be rounded up to infinity.
    bits[i] = (x & 0x7fffffff) > 0x7f800000 ? (x | 0x00400000) & 0xffff0000 : (x + 0x7fff + ((x >>> 16) & 1)) & 0xffff0000;
  }
  return data;
}

/** Rounds a tensor to bf16 in host memory (level 1), and disposes the operand. */
export function roundToBf16(device: Device, tensor: DeviceTensor): DeviceTensor {
  const data = device.download(tensor);
  const { shape } = tensor;
  tensor.dispose();
  return device.upload("bf16", shape, data instanceof Float32Array ? roundArrayToBf16(data) : data);
}
