import { type Handle, bytesOfNumbers } from "@lapidary/protocol";
import type { SharedMemory } from "@lapidary/checkpoint";
import type { RunPrograms } from "./run-programs.js";
import type { WeightsFile } from "./checkpoint-form.js";
import type { CheckpointFiles } from "./checkpoint-contents.js";
import { type KnownSums, StateFiles } from "./state-files.js";

/** The state of a run after one step. */
export interface StagedState {
  readonly files: CheckpointFiles;
  /** Called when the files are on disk or not needed. The staging buffer can be used again. */
  release(): void;
}

type Programs = Pick<RunPrograms, "state" | "fetchState" | "openStagingBuffer" | "stage">;

/** A staging buffer, and the files in it. */
interface StagingBuffer {
  readonly path: string;
  readonly files: (sums: KnownSums) => CheckpointFiles;
  readonly memory: SharedMemory;
  isOnLargePages: boolean;
}

/**
 * Captures the state of a worker group after all requests so far, while the worker group continues. Workers write their blocks to memory that this
 * process shares. Each array is written once and whole, in the form of the files. If memory cannot be shared, the arrays are fetched.
 *
 * Staging buffers belong to one worker group. A worker of an earlier group that still runs writes nothing to them.
 */
export class Staging {
  readonly #programs: Programs;
  readonly #files: StateFiles;
  readonly #free: StagingBuffer[] = [];
  #share: (bytes: number) => SharedMemory | undefined;

  private constructor(programs: Programs, files: readonly WeightsFile[], share: (bytes: number) => SharedMemory | undefined) {
    this.#programs = programs;
    this.#files = new StateFiles(programs, files);
    // Workers write only f32 to shared memory.
    this.#share = this.#files.tensors.every(({ tensor }) => tensor.dtype === "f32") ? share : (): undefined => undefined;
  }

  /** @param share allocates memory that the workers can open; undefined if the system has none */
  static async open(
    programs: Programs,
    files: readonly WeightsFile[],
    share: (bytes: number) => SharedMemory | undefined = () => undefined,
  ): Promise<Staging> {
    const staging = new Staging(programs, files, share);
    const [buffer, opened] = staging.#make();
    if (buffer !== undefined && (await opened)) staging.#free.push(buffer);
    else staging.#share = () => undefined;
    return staging;
  }

  /** Sends immediately, and resolves when the state is in this process. */
  async capture(): Promise<StagedState> {
    const buffer = this.#free.pop() ?? this.#make()[0];
    if (buffer === undefined) return this.#fetch();
    const release = (): void => {
      // After the first use all pages exist, and the start of the run did not wait for them.
      if (!buffer.isOnLargePages) void buffer.memory.onLargePages();
      buffer.isOnLargePages = true;
      this.#free.push(buffer);
    };
    try {
      const { sums } = await this.#programs.stage(buffer.path);
      return { files: buffer.files(sums), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  #make(): [buffer: StagingBuffer | undefined, opened: Promise<boolean>] {
    const memory = this.#share(this.#files.bytes);
    if (memory === undefined) return [undefined, Promise.resolve(false)];
    const { path, bytes } = memory;
    const opened = this.#programs.openStagingBuffer(path, bytes.length, this.#files.tensors);
    // A caller that does not wait gets the error at the next capture.
    opened.catch(() => undefined);
    return [{ path, files: this.#files.in(bytes), memory, isOnLargePages: false }, opened];
  }

  async #fetch(): Promise<StagedState> {
    // All requests are sent before the first answer, so that the arrays belong to one state.
    const arrays = await Promise.all(
      this.#files.tensors.map(async ({ tensor }): Promise<[Handle, Uint8Array]> => {
        const { data } = await this.#programs.fetchState(tensor);
        return [tensor.id, bytesOfNumbers(data)];
      }),
    );
    return { files: this.#files.of(new Map(arrays)), release: () => undefined };
  }
}
