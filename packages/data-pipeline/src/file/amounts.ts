import { z } from "zod";

const units = { "": 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12 } as const;
const amountPattern = /^(\d+(?:\.\d+)?)\s*([kKMGT]?)B?$/;

/** `2GB`, `256k` or a number. */
export const amount = z
  .union([z.number().positive(), z.string().regex(amountPattern, "write a number such as 256k or 2GB")])
  .transform((value) => {
    if (typeof value === "number") return Math.round(value);
    const [, number = "", unit = ""] = amountPattern.exec(value) ?? [];
    return Math.round(Number(number) * units[unit as keyof typeof units]);
  });

/** `60%` or 0.6. */
export const share = z
  .union([z.number().min(0).max(1), z.string().regex(/^\d{1,2}(\.\d+)?%$|^100%$/, "write a share such as 60%")])
  .transform((value) => (typeof value === "number" ? value : Number(value.slice(0, -1)) / 100));
