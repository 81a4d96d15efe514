/**
 * An address as it may be shown: user and password are left out. For a text that is no address, or that holds addresses, every
 * `scheme://user:password@` in it loses what is secret.
 */
export function redactUrl(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#]*@/gi, "$1");
}
