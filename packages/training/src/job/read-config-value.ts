import type { z } from "zod";
import type { JobText } from "./load-job.js";
import { validate } from "./validate.js";
import { YamlSource } from "./yaml-source.js";

/** The value of a configuration file. Errors have the line of the file. @throws LapidaryError LAP_CONFIG_… */
export const readConfigValue = <T>(schema: z.ZodType<T>, { text, file }: Pick<JobText, "text" | "file">): T =>
  validate(schema, YamlSource.parse(text, file));
