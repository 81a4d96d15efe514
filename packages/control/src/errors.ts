import { LapidaryError, redactUrl } from "@lapidary/std";

/** An error that lasts until a person changes the address or the server: to try again is of no use. */
export class LastingRedisError extends LapidaryError {}

/** Redis does not answer, or not in time. Whether the command was carried out is not known. */
export function unreachableError(place: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_UNREACHABLE",
    message: `Redis does not answer: ${why}`,
    place,
    cause,
  });
}

/** What a handshake of TLS ended with, by the code of the error, and what to do about it. */
function tlsRemedy(code: string, answer: string, names: string | undefined): string | undefined {
  const trust = "name the file of the certificate of its issuer in NODE_EXTRA_CA_CERTS, then run the command again";
  if (/SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|CERT_UNTRUSTED|INVALID_CA/.test(code)) return trust;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `use in the address the name that the certificate is for${names === undefined ? "; it has none" : `: ${names.replaceAll(/\b(DNS|IP Address):/g, "")}`}`;
  if (/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/.test(code)) return "renew the certificate of the server, and check the clocks of both machines";
  if (
    /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)|alert (bad certificate|certificate required|handshake failure)/i.test(
      `${code} ${answer}`,
    )
  )
    return "the server refuses the client: if it asks for client certificates, set `tls-auth-clients no`, because Lapidary sends none";
  if (/UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION|NO_PROTOCOLS|alert protocol version/i.test(`${code} ${answer}`))
    return "let the server offer TLS 1.2 or later (`tls-protocols`)";
  if (/WRONG_VERSION_NUMBER|packet length too long|EPROTO|ERR_SSL/.test(`${code} ${answer}`))
    return "the server does not speak TLS at this port: write redis:// instead of rediss://, or name its TLS port";
  if (/^(ERR_TLS|CERT_|UNABLE_TO_)|certificate|handshake/i.test(`${code} ${answer}`)) return trust;
  return undefined;
}

/**
 * What an error of ioredis or BullMQ means to a person. Errors that Redis answers with and that no user can cause are
 * ours, and are returned as they are.
 */
export function explainRedisError(place: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof LapidaryError) return error;
  const answer = redactUrl(error.message);
  if (error.name === "MaxRetriesPerRequestError") return unreachableError(place, "the connection to it broke", error);
  if (/^(NOAUTH|WRONGPASS|NOPERM|ERR AUTH)/.test(answer))
    return new LastingRedisError({
      code: "LAP_REDIS_REFUSED",
      message: `Redis refuses this user: ${answer}`,
      place,
      cause: error,
    });
  if (/^(OOM|MISCONF)/.test(answer))
    return new LapidaryError({
      code: "LAP_REDIS_FULL",
      message: `Redis takes no more data: ${answer}`,
      place,
      cause: error,
    });
  if (/^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN)/.test(answer)) return unreachableError(place, answer, error);
  const connection =
    /Connection is closed|Connection in subscriber|Stream isn't writeable|Command timed out|ECONN|ENOENT|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EACCES/i;
  const { code, cert } = error as { code?: unknown; cert?: { subjectaltname?: string } };
  const tls = tlsRemedy(typeof code === "string" ? code : "", answer, cert?.subjectaltname);
  if (tls !== undefined) return lasting(unreachableError(place, `the TLS handshake failed: ${reasonOf(answer)}`, error), tls);
  if (/^ERR (DB index is out of range|invalid DB index)/i.test(answer))
    return lasting(
      unreachableError(place, `it has no database of this number: ${answer}`, error),
      "write a database number that the server has (0 to 15 unless its `databases` setting says otherwise), as in redis://host:port/0",
    );
  if (/Protocol error|Unknown RESP type|DENIED Redis is running in protected mode/.test(answer))
    return lasting(
      unreachableError(
        place,
        /DENIED/.test(answer)
          ? (answer.split("\n")[0] ?? answer)
          : `Protocol error, it does not speak as Redis does: ${answer.replace(" Please report this.", "").replace("Protocol error, ", "")}`,
        error,
      ),
      /DENIED/.test(answer)
        ? "set a password for the server, or let it listen on 127.0.0.1 only"
        : "name the port of a Redis server; a TLS port needs rediss:// in the address",
    );
  if (connection.test(answer) || (typeof code === "string" && connection.test(code))) return unreachableError(place, answer, error);
  return error;
}

/** OpenSSL puts its source files around the reason: `80CC…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…`. */
const reasonOf = (answer: string): string => /:SSL routines:[^:]*:([^:]+)/.exec(answer)?.[1] ?? answer.trim();

function lasting(error: LapidaryError, remedy: string): LastingRedisError {
  const { code, message, place, cause } = error;
  return new LastingRedisError({ code, message, ...(place === undefined ? {} : { place }), remedy, cause });
}
