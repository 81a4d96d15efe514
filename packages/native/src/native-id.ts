declare const kind: unique symbol;

/** The number of an object that a library created. Objects of another kind have numbers of another type. */
export type NativeId<Kind extends string> = number & { readonly [kind]: Kind };
