import { join } from "node:path";
import { ExternalSort, type RecordStream, readRecords } from "@lapidary/records";
import type { GatherInputs } from "../stages/stage.js";
import { forEachRecord, partOfShard, rowAt, shardAt } from "./record-parts.js";

/** What gathers wrote about the documents of one shard, in the order of rows. Memory is that of one document. */
export class RowRecords {
  readonly #records: RecordStream;
  #hasNext: boolean;

  private constructor(records: RecordStream) {
    this.#records = records;
    this.#hasNext = records.next();
  }

  /** Sorts the records of a shard from all objects. They begin with a place. */
  static async sort(inputs: GatherInputs, shard: number, width: number): Promise<RowRecords> {
    const sort = new ExternalSort(width, { directory: join(inputs.scratch, "sort-rows") });
    for (const object of inputs.objects)
      await forEachRecord(inputs.read(object, partOfShard(shard, inputs.sources.length)), width, (bytes, at) => {
        if (shardAt(bytes, at) === shard) sort.add(bytes, at);
      });
    return new RowRecords(readRecords(sort.finish(join(inputs.scratch, "rows"))));
  }

  /** The records of a row. Rows are asked for in order; records of rows between are passed over. */
  take(row: number): Uint8Array[] {
    const records = this.#records;
    const taken: Uint8Array[] = [];
    for (; this.#hasNext && rowAt(records.bytes, records.at) <= row; this.#hasNext = records.next())
      if (rowAt(records.bytes, records.at) === row) taken.push(records.bytes.slice(records.at, records.at + records.width));
    return taken;
  }

  finish(): void {
    this.#records.close();
  }
}
