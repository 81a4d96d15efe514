import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { crc32c, tensorboardEvent, tensorboardFileName, tensorboardHeader } from "./tensorboard.js";

const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex");

describe("TensorBoard event files", () => {
  it("records carry a CRC-32C", () => {
    strictEqual(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
    strictEqual(crc32c(new Uint8Array(32)), 0x8a9136aa);
  });

  it("an event file starts with its version, byte for byte as TensorBoard writes it", () => {
    // tensorboard 2.21, RecordWriter of Event(wall_time=1.0, file_version="brain.Event:2")
    strictEqual(hex(tensorboardHeader(1000)), "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a");
  });

  it("an event contains each scalar with its tag, step and time", () => {
    const data = tensorboardEvent({ time: 2500, step: 300, scalars: { "train/loss": 1.5 } });
    const view = new DataView(data.buffer);
    const length = Number(view.getBigUint64(0, true));
    strictEqual(data.length, 8 + 4 + length + 4);
    const message = data.subarray(12, 12 + length);
    deepStrictEqual([message[0], new DataView(message.buffer, message.byteOffset + 1).getFloat64(0, true)], [0x09, 2.5]);
    // Step 300 as a varint, then a summary of one value: tag and simple value.
    strictEqual(hex(message.subarray(9)), `10ac02${"2a13"}${"0a11"}${"0a0a"}${Buffer.from("train/loss").toString("hex")}${"15"}0000c03f`);
    strictEqual(tensorboardFileName(1_700_000_000_123), "events.out.tfevents.1700000000.lapidary");
  });
});
