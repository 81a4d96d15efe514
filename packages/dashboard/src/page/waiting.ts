/** A request that has no answer after this time is reported on the page. */
export const slowAfterMs = 5000;

/** The event of the window that says that a request begins (`true`) or ends (`false`) to be slow. */
export const slowRequest = "lapidary-slow-request";

const report = (slow: boolean): boolean => dispatchEvent(new CustomEvent<boolean>(slowRequest, { detail: slow }));

/** Reports while a request is slow to begin: a browser that has no connection left holds it back without an error. */
export async function whileWaiting<T>(request: Promise<T>): Promise<T> {
  let slow = false;
  const timer = setTimeout(() => {
    slow = true;
    report(true);
  }, slowAfterMs);
  try {
    return await request;
  } finally {
    clearTimeout(timer);
    if (slow) report(false);
  }
}
