/**
 * Text without the users and passwords of the addresses in it: `scheme://user:password@` and query fields such as `?password=`. A password may hold
 * characters that no address may have, such as `/`: everything up to the last `@` of the word is left out.
 */
export function redactUrl(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s"'<>]*@/gi, "$1").replace(/([?&](?:user|username|password)=)[^&\s"'<>]*/gi, "$1***");
}
