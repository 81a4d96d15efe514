import { LapidaryError } from "@lapidary/std";

export const samplerGap = (step: number, gap: number, bound: number): LapidaryError =>
  new LapidaryError({
    code: "LAP_RL_SAMPLER_GAP",
    message: `a log-probability of the sampler differs by ${gap.toPrecision(3)} from that of the trainer, more than ${bound}`,
    location: `step ${step}`,
  });

export const klTooLarge = (step: number, kl: number, bound: number): LapidaryError =>
  new LapidaryError({
    code: "LAP_RL_KL",
    message: `the KL to the reference is ${kl.toPrecision(3)} nats a token, more than ${bound}`,
    location: `step ${step}`,
  });

export const wrongReference = (kl: number): LapidaryError =>
  new LapidaryError({
    code: "LAP_RL_REFERENCE",
    message: `the KL of the first policy to the reference is ${kl.toPrecision(3)} nats a token, not 0`,
    location: "step 0",
  });

export const allCutOff = (step: number, newTokens: number): LapidaryError =>
  new LapidaryError({
    code: "LAP_RL_CUT_OFF",
    message: `no completion ended within ${newTokens} tokens, so that all completions have the same penalty`,
    location: `step ${step}`,
  });
