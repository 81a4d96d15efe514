/** The part of a `NodeJS.WriteStream` that output needs, so that tests can provide it. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}
