import { type LapidaryError, redactSecrets, type WarningJSON } from "@lapidary/std";
import type { Paint } from "@lapidary/report/paint";

/** The fields of an error on stdout under `--json`; all four are always present. */
export interface ErrorJson {
  readonly error: { readonly code: string; readonly message: string; readonly place: string; readonly remedy: string };
}

/**
 * The message of an error may contain values of the environment or output of a program, so secrets are redacted.
 *
 * @param place the location if the error has none: the command
 */
export function errorJson(error: LapidaryError, place: string): ErrorJson {
  const { code, message, location: at = place, remedy } = error;
  return { error: { code, message: redactSecrets(message), place: redactSecrets(at), remedy: redactSecrets(remedy) } };
}

/**
 *     lapidary: error LAP_MESH_DOES_NOT_FILL: the mesh data=2,model=2 has 4 chips, its slice 8
 *         place:  mesh
 *         remedy: choose axis sizes with product 8
 */
export function errorText(error: LapidaryError, place: string, paint: Paint): string {
  return block(paint.red, `error ${error.code}`, { message: error.message, place: error.location ?? place, remedy: error.remedy }, paint);
}

/** A warning in the same form. Without a location, the line is missing. */
export function warningText(warning: WarningJSON, paint: Paint): string {
  return block(paint.yellow, `warning ${warning.code}`, warning, paint);
}

function block(
  color: (text: string) => string,
  title: string,
  { message, place, remedy }: Pick<WarningJSON, "message" | "place" | "remedy">,
  paint: Paint,
): string {
  const indented = (text: string): string => text.replaceAll("\n", "\n            ");
  return redactSecrets(
    [
      `lapidary: ${paint.bold(color(title))}: ${message.replaceAll("\n", "\n    ")}`,
      ...(place === undefined ? [] : [`    ${paint.dim("place:")}  ${indented(place)}`]),
      `    ${paint.dim("remedy:")} ${indented(remedy)}`,
    ].join("\n"),
  );
}
