export interface Place {
  readonly pod: number;
  readonly coordinates: readonly number[];
}

/** A chip as it is drawn. */
export interface Cell extends Place {
  /** Undefined: nobody has it. */
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
  readonly places: readonly Place[];
  readonly colour: string;
  readonly strong: boolean;
}
