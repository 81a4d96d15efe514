/**
 * The elements that a part has of a whole array: segments of one length, at a stride for each outer dim.
 *
 *     whole   ░░░▓▓░░░▓▓░░░▓▓░░   counts [3], strides [5], length 2; base 3
 *
 * `bases` has the first element of each part. The unit is an element or a byte, as the user of the type documents.
 */
export interface Segments {
  readonly bases: readonly number[];
  readonly counts: readonly number[];
  readonly strides: readonly number[];
  readonly length: number;
}

/** A list, preceded by its length. */
export const encodeList = (values: readonly number[]): number[] => [values.length, ...values];

/** The numbers that `NumberReader::ReadSegments` of cpp/kernels/segments.h reads. */
export const encodeSegments = ({ bases, counts, strides, length }: Segments): number[] => [
  ...encodeList(bases),
  ...encodeList(counts),
  ...encodeList(strides),
  length,
];
