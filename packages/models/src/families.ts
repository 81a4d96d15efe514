import { decoder } from "./decoder.js";
import type { DecoderConfig } from "./decoder-config.js";
import { gemma } from "./gemma.js";
import type { GemmaConfig } from "./gemma-config.js";
import type { Model, ParamSpec } from "./model.js";

/** A model of either family. */
export type ModelConfig = GemmaConfig | DecoderConfig;

export const isDecoder = (config: ModelConfig): config is DecoderConfig => "family" in config;

/** Name → dims of all parameters, in the order of a checkpoint. */
export const paramsOf = (config: ModelConfig): readonly ParamSpec[] => buildModel(config).params;

export const buildModel = (config: ModelConfig): Model => (isDecoder(config) ? decoder(config) : gemma(config));
