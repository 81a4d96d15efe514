/** From here on the continued fraction of erfc converges faster than the series of erf. */
const switchAt = 2.5;

/** The error function, to about 1e-13. The series is in Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.5. */
export function erf(x: number): number {
  if (Math.abs(x) > switchAt) return Math.sign(x) * (1 - tail(Math.abs(x)));
  let [sum, term] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** 1 − erf(x), with small relative error for large x. */
export function erfc(x: number): number {
  return x > switchAt ? tail(x) : 1 - erf(x);
}

/** erfc of a number above 0 by its continued fraction, 7.1.14, from the innermost term outwards. */
function tail(x: number): number {
  let fraction = x;
  for (let n = 100; n > 0; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}
