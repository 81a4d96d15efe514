/**
 * Removes secrets from text for people. Every output of a program and every value of the environment passes through it before it is printed
 * or logged.
 */

/**
 * Addresses: everything between `scheme://` and the last `@` of the word, because a password may contain characters that no
 * address may have. The lengths are limited, so that a long line without an address takes time proportional to its length.
 */
const userInfo = /(?<![a-z0-9+.-])([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s"'<>]{0,2000}@/gi;
/** Fields of a query. */
const queryField =
  /([?&](?:user|username|pass|passwd|password|token|access_token|auth_token|private_token|api_?key|secret|sig|x-amz-signature|x-amz-security-token)=)[^&\s"'<>]*/gi;
/** Settings of npm: `//registry/:_authToken=…`, `_auth = "…"`. */
const npmSetting = /(\b_(?:authToken|auth|password)["']?\s*[=:]\s*["']?)[^\s"']+/gi;
/** Lines of HTTP. */
const authorization = /((?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:basic|bearer|token)\s+)[^\s"']+/gi;
/** Environment variables with the name of a secret, as in a shell or in JSON. */
const variable =
  /(\b[A-Z0-9_]*(?:TOKEN|PASSWORD|PASSWD|SECRET|SECRET_KEY|ACCESS_KEY|API_?KEY|REDISCLI_AUTH)(?:=["']?|["']\s?:\s?["']))[^\s"',]+/g;
/** Tokens with a known prefix: of npm, GitHub, GitLab, Hugging Face, PyPI and AWS. */
const token = /\b(npm_|gh[pousr]_|github_pat_|glpat-|hf_|pypi-|AKIA|ASIA)[A-Za-z0-9_-]{16,}/g;

/**
 * @param {string} text
 * @returns {string} the text without users and passwords of addresses; other secrets become `***`
 */
export function redactSecrets(text) {
  return text
    .replace(userInfo, "$1")
    .replace(queryField, "$1***")
    .replace(npmSetting, "$1***")
    .replace(authorization, "$1***")
    .replace(variable, "$1***")
    .replace(token, "$1***");
}
