/** Texts of shares, bytes and seconds in plans. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
export const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e8 ? 4 : 2)} GB`;
export function seconds(time: number): string {
  if (time >= 100) return `${time.toFixed(0)} s`;
  if (time >= 1) return `${time.toFixed(2)} s`;
  return time >= 1e-3 ? `${(time * 1e3).toFixed(1)} ms` : `${(time * 1e6).toFixed(0)} µs`;
}
