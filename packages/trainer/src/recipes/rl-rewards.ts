import { type Checker, openChecker, parseChecker } from "@lapidary/evaluation";
import type { ResolvedJob } from "@lapidary/training";
import { rewardSet } from "./recipe-request.js";
import type { RewardSource } from "../rl/rl-settings.js";

/** The sources of rewards of a job, and the checker of its evaluations. */
export interface Rewards {
  readonly sources: readonly RewardSource[];
  /** Directories of reward models, by parameter set. */
  readonly models: ReadonlyMap<string, string>;
  /** The checker `rl.check`. */
  readonly check: Checker | undefined;
  close(): Promise<void>;
}

/** Opens the sources of rewards. A checker may be a thread: close them. */
export async function openRewards({ reward = [], rl }: ResolvedJob): Promise<Rewards> {
  const sources: RewardSource[] = [];
  const models = new Map<string, string>();
  const checkers: Checker[] = [];
  const open = async (settings: object, place: string): Promise<Checker> => {
    const checker = await openChecker(parseChecker(settings, place), "/", place);
    checkers.push(checker);
    return checker;
  };
  const close = async (): Promise<void> => void (await Promise.all(checkers.map((checker) => checker.close())));
  try {
    for (const [at, source] of reward.entries()) {
      const number = reward.length === 1 ? "" : `_${at}`;
      if ("checker" in source && typeof source.checker === "string") {
        const { weight, ...settings } = source as typeof source & { weight: number };
        const checker = await open(settings, `reward.${at}`);
        sources.push({ kind: "checker", name: `checker${number}`, weight, check: (row) => checker.check(row) });
      } else {
        const { model, weight, shift, scale } = source as { model: string; weight: number; shift: number; scale: number };
        const set = rewardSet(at);
        models.set(set, model);
        sources.push({ kind: "model", name: `model${number}`, weight, set, shift, scale });
      }
    }
    const check = rl?.check === undefined ? undefined : await open(rl.check, "rl.check");
    return { sources, models, check, close };
  } catch (error) {
    await close();
    throw error;
  }
}
