/** Runs two pieces of work concurrently. If one fails, the other is aborted and awaited. */
export async function runBoth<A, B>(
  signal: AbortSignal,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  const guard = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await work(either);
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  };
  const results = await Promise.allSettled([guard(first), guard(second)]);
  signal.throwIfAborted();
  failure.signal.throwIfAborted();
  const [a, b] = results;
  if (a.status === "rejected") throw a.reason;
  if (b.status === "rejected") throw b.reason;
  return [a.value, b.value];
}
