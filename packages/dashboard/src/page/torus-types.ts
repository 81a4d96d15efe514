export interface GridPosition {
  readonly pod: number;
  readonly coordinates: readonly number[];
}

/** The square of a chip. */
export interface Cell extends GridPosition {
  /** Undefined if the chip is free. */
  readonly fill: string | undefined;
  readonly text?: string;
  readonly faint?: boolean;
}

export interface Region {
  readonly label: string;
  readonly pod: number;
  readonly pods: number;
  readonly origin: readonly number[];
  readonly dims: readonly number[];
}

export interface GroupLine {
  readonly positions: readonly GridPosition[];
  readonly colour: string;
  readonly strong: boolean;
}
