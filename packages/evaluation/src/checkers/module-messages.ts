/** Messages of the thread that runs a user's module. */
export type FromCheckThread =
  | { readonly kind: "ready" }
  | { readonly kind: "unloadable"; readonly why: string }
  | { readonly kind: "score"; readonly score: number }
  | { readonly kind: "failed"; readonly why: string };
