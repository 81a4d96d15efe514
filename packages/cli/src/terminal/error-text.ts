import type { LapidaryError } from "@lapidary/std";
import type { Paint } from "./paint.js";

/** The fields of an error on stdout under `--json`; all four are always there. */
export interface ErrorJson {
  readonly error: { readonly code: string; readonly message: string; readonly place: string; readonly remedy: string };
}

/** @param place where the error happened when it does not say so itself: the command */
export function errorJson(error: LapidaryError, place: string): ErrorJson {
  return { error: { code: error.code, message: error.message, place: error.place ?? place, remedy: error.remedy } };
}

/**
 *     lapidary: error LAP_MESH_DOES_NOT_FILL: the mesh data=2,model=2 has 4 chips, its slice 8
 *         place:  mesh
 *         remedy: choose axis sizes whose product is 8
 */
export function errorText(error: LapidaryError, place: string, paint: Paint): string {
  const indented = (text: string): string => text.replaceAll("\n", "\n            ");
  return [
    `lapidary: ${paint.bold(paint.red(`error ${error.code}`))}: ${error.message.replaceAll("\n", "\n    ")}`,
    `    ${paint.dim("place:")}  ${indented(error.place ?? place)}`,
    `    ${paint.dim("remedy:")} ${indented(error.remedy)}`,
  ].join("\n");
}
