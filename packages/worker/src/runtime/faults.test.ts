import assert from "node:assert/strict";
import type { DeviceTensor, ScheduleItem, SharedExchange } from "@lapidary/executor";
import { type FailpointDamage, failpointsOf } from "@lapidary/std";
import { StepFaults } from "./faults.js";

const faultsOf = (text: string): StepFaults => new StepFaults(failpointsOf({ LAPIDARY_FAILPOINTS: text }), 1);
/** The start of a collective, with the fields that failpoints read. */
const start = (op: string): ScheduleItem => ({ kind: "start", node: { id: 0, op, value: {} } }) as unknown as ScheduleItem;

describe("StepFaults", () => {
  const frame = [Uint8Array.of(1, 2), Uint8Array.of(0, 0, 0, 0, 0)];
  const next = [Uint8Array.of(3), Uint8Array.of(9, 9)];

  it("StepFaults damages one message of the step and collective that a failpoint names, and leaves the sender's array unchanged", () => {
    const faults = faultsOf("all-gather-chunk-sent@2,1:corrupt");
    faults.begin(1, []);
    faults.before(start("all_gather"));
    assert.deepEqual(faults.tamper(frame), frame);
    faults.begin(2, []);
    faults.before(start("reduce_scatter"));
    assert.deepEqual(faults.tamper(frame), frame);
    faults.before(start("all_gather"));
    assert.deepEqual(faults.tamper([Uint8Array.of(7)]), [Uint8Array.of(7)]);
    assert.deepEqual(faults.tamper(frame), [frame[0], Uint8Array.of(0, 0, 8, 0, 0)]);
    assert.deepEqual(frame[1], Uint8Array.of(0, 0, 0, 0, 0));
    assert.deepEqual(faults.tamper(frame), frame);
    faults.before(start("all_gather"));
    assert.deepEqual(faults.tamper(frame), frame);
  });

  it("StepFaults does not change frames that are sent outside a step", () => {
    const faults = faultsOf("all-gather-chunk-sent@1,1:corrupt");
    assert.deepEqual(faults.tamper(frame), frame);
    faults.begin(1, []);
    faults.before(start("all_gather"));
    faults.end();
    assert.deepEqual(faults.tamper(frame), frame);
  });

  const damages: readonly [FailpointDamage, Uint8Array[][]][] = [
    ["truncate", [[], [Uint8Array.of(1, 2), Uint8Array.of(0, 0), ...next]]],
    ["duplicate", [[...frame, ...frame], next]],
    ["reorder", [[], [...next, ...frame]]],
  ];
  for (const [damage, sent] of damages)
    it(`${damage} changes one message on a socket, and none after it`, () => {
      const faults = faultsOf(`reduce-scatter-chunk-sent@1,1:${damage}`);
      faults.begin(1, []);
      faults.before(start("reduce_scatter"));
      assert.deepEqual([faults.tamper(frame), faults.tamper(next)], sent);
      faults.before(start("reduce_scatter"));
      assert.deepEqual(faults.tamper(frame), frame);
    });

  it("StepFaults corrupts a message in shared memory once, and no frame on a socket", () => {
    const faults = faultsOf("reduce-scatter-chunk-sent@1,1:corrupt");
    const sent: string[] = [];
    const link = faults.link("all_reduce", {
      send: () => void sent.push("whole"),
      sendCorrupted: () => void sent.push("corrupted"),
    } as unknown as SharedExchange);
    faults.begin(1, []);
    for (let message = 0; message < 3; message++) {
      faults.before(start("all_reduce"));
      link.send({} as DeviceTensor);
    }
    assert.deepEqual(sent, ["corrupted", "whole", "whole"]);
    assert.deepEqual(faults.tamper(frame), frame);
  });
});
