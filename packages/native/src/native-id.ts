declare const kind: unique symbol;

/** The number by which a library knows an object that it created. Objects of another kind have numbers of another type. */
export type NativeId<Kind extends string> = number & { readonly [kind]: Kind };
