/** The page reports a request without a response after this time. */
const slowAfterMs = 5000;

/** The window event when a request becomes slow (`true`), and when a slow request ends (`false`). */
export const slowRequest = "lapidary-slow-request";

const report = (slow: boolean): boolean => dispatchEvent(new CustomEvent<boolean>(slowRequest, { detail: slow }));

/** Awaits a request, and reports while it is slow: a browser without a free connection delays a request without an error. */
export async function reportIfSlow<T>(request: Promise<T>): Promise<T> {
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
