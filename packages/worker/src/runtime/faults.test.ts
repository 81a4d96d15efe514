import assert from "node:assert/strict";
import { failpointsOf } from "@lapidary/std";
import { StepFaults } from "./faults.js";

const faultsOf = (text: string): StepFaults => new StepFaults(failpointsOf({ LAPIDARY_FAILPOINTS: text }), 1);

describe("faults of a step", () => {
  const frame = [Uint8Array.of(1, 2), Uint8Array.of(0, 0, 0, 0, 0)];

  it("damage one message, of the collective and step that they name, and leave the sender's own copy alone", () => {
    const faults = faultsOf("all-gather-chunk-sent@2,1:corrupt");
    faults.begin(1, []);
    assert.equal(faults.damages("all_gather", "socket"), false);
    faults.begin(2, []);
    assert.equal(faults.damages("reduce_scatter", "socket"), false);
    assert.deepEqual(faults.tamper(frame), frame);
    assert.equal(faults.damages("all_gather", "socket"), true);
    assert.deepEqual(faults.tamper([Uint8Array.of(7)]), [Uint8Array.of(7)]);
    assert.deepEqual(faults.tamper(frame), [frame[0], Uint8Array.of(0, 0, 8, 0, 0)]);
    assert.deepEqual(faults.tamper(frame), frame);
    assert.equal(faults.damages("all_gather", "socket"), false);
  });

  const next = [Uint8Array.of(3), Uint8Array.of(9, 9)];
  for (const [damage, sent] of [
    ["tear", [[], [frame[0], Uint8Array.of(0, 0), ...next]]],
    ["repeat", [[...frame, ...frame], next]],
    ["swap", [[], [...next, ...frame]]],
  ] as [string, Uint8Array[][]][])
    it(`${damage} one message on a socket, and leave those behind it as they are`, () => {
      const faults = faultsOf(`reduce-scatter-chunk-sent@1,1:${damage}`);
      faults.begin(1, []);
      assert.equal(faults.damages("reduce_scatter", "memory"), false);
      assert.equal(faults.damages("reduce_scatter", "socket"), true);
      assert.deepEqual([faults.tamper(frame), faults.tamper(next)], sent);
      assert.deepEqual(faults.tamper(frame), frame);
    });

  it("damage nothing on sockets where messages go through shared memory", () => {
    const faults = faultsOf("reduce-scatter-chunk-sent@1,1:corrupt");
    faults.begin(1, []);
    assert.equal(faults.damages("all_reduce", "memory"), true);
    assert.deepEqual(faults.tamper(frame), frame);
  });
});
