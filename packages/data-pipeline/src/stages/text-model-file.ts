import { readFileSync } from "node:fs";
import { openTextModel, type TextModel } from "@lapidary/detectors";
import { isSystemError, LapidaryError, parsedJson, systemError } from "@lapidary/std";

/** The model of a file that `lapidary data train-filter` wrote. @throws LapidaryError LAP_DATA_MODEL, LAP_FILE_… */
export function readTextModel(path: string): TextModel {
  const model = openTextModel(parsedJson(contentOf(path)));
  if (model !== undefined) return model;
  throw new LapidaryError({ code: "LAP_DATA_MODEL", message: "the file is not a model of labels of texts", location: path });
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read a model of the stage measure", place: path }) : error;
  }
}
