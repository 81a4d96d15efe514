import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** What kernels/image.cc exports, where the system has what it needs. */
export interface ImageModule {
  openImage(path: string, bytes: number): number | undefined;
  registerLayout(image: number, code: Float64Array): number;
  sharesOf(layout: number): number[];
  closeImage(image: number, layouts: Float64Array): void;
  share(bytes: number): { readonly file: number; readonly memory: ArrayBuffer } | undefined;
  view(path: string, bytes: number): ArrayBuffer | undefined;
}

/** Memory that processes share, in which blocks are laid straight from tensors; see kernels/image.cc and mapping.h. */
export class ImageMemory {
  readonly #node: NodeBackend;
  readonly #module: ImageModule;

  private constructor(node: NodeBackend, module: ImageModule) {
    this.#node = node;
    this.#module = module;
  }

  static of(node: NodeBackend, module: Partial<ImageModule>): ImageMemory | undefined {
    return module.openImage === undefined ? undefined : new ImageMemory(node, module as ImageModule);
  }

  /** Undefined where it cannot be had: of another machine, or of another size. */
  open(path: string, bytes: number): DeviceImage | undefined {
    const image = this.#module.openImage(path, bytes);
    return image === undefined ? undefined : new DeviceImage(this.#node, this.#module, image);
  }

  /** Undefined where the system gives none. */
  share(bytes: number): SharedImage | undefined {
    const shared = this.#module.share(bytes);
    if (shared === undefined) return undefined;
    const path = `/proc/${process.pid}/fd/${shared.file}`;
    const image = this.open(path, bytes);
    return image === undefined ? undefined : { path, bytes: new Uint8Array(shared.memory), image };
  }

  /** What another process shares, as it is now and will be; undefined where it cannot be had. */
  view(path: string, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    const memory = this.#module.view(path, bytes);
    return memory === undefined ? undefined : new Uint8Array(memory);
  }
}

/** Memory of this process that others can open by its path, as long as it is held here. */
export interface SharedImage {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly image: DeviceImage;
}

/** Bytes of an image in the order of a block: segments of one length, at a stride for each outer factor. */
export interface ByteSegments {
  readonly first: number;
  readonly length: number;
  readonly counts: readonly number[];
  readonly strides: readonly number[];
}

/** Where a block goes. */
export interface ImageBlock {
  readonly segments: ByteSegments;
  /** The whole array in the image, if its checksum is wanted. The length of a segment is then a multiple of `kRunBlock` of common/checksum.h. */
  readonly checksumOf?: { readonly begin: number; readonly bytes: number } | undefined;
}

export class DeviceImage {
  readonly #node: NodeBackend;
  readonly #module: ImageModule;
  readonly #image: number;
  readonly #layouts: number[] = [];

  constructor(node: NodeBackend, module: ImageModule, image: number) {
    this.#node = node;
    this.#module = module;
    this.#image = image;
  }

  /**
   * A function that writes f32 blocks, in the order of `places`, to their segments.
   *
   * @returns what each of them adds to the checksum of its array: the crc32 of that is all of them together (xor), inverted; 0 where it is not wanted
   */
  bind(places: readonly ImageBlock[]): (blocks: readonly DeviceTensor[]) => readonly number[] {
    const code = places.flatMap(({ checksumOf, segments: { first, length, counts, strides } }) => [
      checksumOf?.begin ?? 0,
      checksumOf?.bytes ?? 0,
      1,
      first,
      counts.length,
      ...counts,
      strides.length,
      ...strides,
      length,
    ]);
    const layout = this.#module.registerLayout(this.#image, Float64Array.from(code));
    this.#layouts.push(layout);
    const { binding } = this.#node;
    const attributes = [
      { name: "N", type: binding.TF_ATTR_INT, value: places.length },
      { name: "layout", type: binding.TF_ATTR_INT, value: layout },
    ];
    // Copies want none: then they are not asked for.
    const none = places.every(({ checksumOf }) => checksumOf === undefined) ? places.map(() => 0) : undefined;
    return (blocks) => {
      for (const { id } of binding.executeOp("LapidaryLay", attributes, this.#node.getInputTensorIds(blocks), 1)) binding.deleteTensor(id);
      return none ?? this.#module.sharesOf(layout);
    };
  }

  close(): void {
    this.#module.closeImage(this.#image, Float64Array.from(this.#layouts));
  }
}
