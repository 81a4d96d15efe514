import { LapidaryError, redactSecrets } from "@lapidary/std";

/** Redis does not reply, or not in time. The command may or may not have run. */
export function unreachableError(location: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_UNREACHABLE",
    message: `no reply from Redis: ${why}`,
    location,
    cause,
  });
}

/** An error that another attempt with the same address would meet again: a wrong password, certificate, database or port. */
export class PermanentRedisError extends LapidaryError {}

/** The remedy for a failed TLS handshake, chosen by the error code and the message; undefined for other errors. */
function tlsRemedy(code: string, answer: string, names: string | undefined): string | undefined {
  const trust = "set NODE_EXTRA_CA_CERTS to the certificate file of its issuer, then run the command again";
  if (/SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|CERT_UNTRUSTED|INVALID_CA/.test(code)) return trust;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `write the host name of the certificate in the address${names === undefined ? "; the certificate has no host name" : `: ${names.replaceAll(/\b(DNS|IP Address):/g, "")}`}`;
  if (/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/.test(code)) return "renew the server's certificate, and check the clocks of both machines";
  if (
    /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)|alert (bad certificate|certificate required|handshake failure)/i.test(
      `${code} ${answer}`,
    )
  )
    return "the server rejects the client: if it requires client certificates, set `tls-auth-clients no`, because Lapidary sends none";
  if (/UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION|NO_PROTOCOLS|alert protocol version/i.test(`${code} ${answer}`))
    return "enable TLS 1.2 or later on the server (`tls-protocols`)";
  if (/WRONG_VERSION_NUMBER|packet length too long|EPROTO|ERR_SSL/.test(`${code} ${answer}`))
    return "this port of the server does not use TLS: write redis:// instead of rediss://, or give its TLS port";
  if (/^(ERR_TLS|CERT_|UNABLE_TO_)|certificate|handshake/i.test(`${code} ${answer}`)) return trust;
  return undefined;
}

/**
 * Converts an error of ioredis or BullMQ to a LapidaryError with a remedy. An error reply that no user can cause is a bug of
 * Lapidary, and is returned unchanged.
 */
export function explainRedisError(location: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof LapidaryError) return error;
  const answer = redactSecrets(error.message);
  if (error.name === "MaxRetriesPerRequestError") return unreachableError(location, "the connection broke", error);
  if (/^(NOAUTH|WRONGPASS|NOPERM|ERR AUTH)/.test(answer))
    return new PermanentRedisError({
      code: "LAP_REDIS_REFUSED",
      message: `Redis rejects this user: ${answer}`,
      location,
      cause: error,
    });
  if (/^(OOM|MISCONF)/.test(answer))
    return new LapidaryError({
      code: "LAP_REDIS_FULL",
      message: `Redis accepts no more data: ${answer}`,
      location,
      cause: error,
    });
  if (/^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN)/.test(answer)) return unreachableError(location, answer, error);
  const connection =
    /Connection is closed|Connection in subscriber|Stream isn't writeable|Command timed out|ECONN|ENOENT|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EACCES/i;
  const { code, cert } = error as { code?: unknown; cert?: { subjectaltname?: string } };
  const tls = tlsRemedy(typeof code === "string" ? code : "", answer, cert?.subjectaltname);
  if (tls !== undefined) return permanent(unreachableError(location, `the TLS handshake failed: ${reasonOf(answer)}`, error), tls);
  if (/^ERR (DB index is out of range|invalid DB index)/i.test(answer))
    return permanent(
      unreachableError(location, `no database with this number: ${answer}`, error),
      "write a database number that exists on the server (0 to 15 unless its `databases` setting differs), as in redis://host:port/0",
    );
  if (/Protocol error|Unknown RESP type|DENIED Redis is running in protected mode/.test(answer))
    return permanent(
      unreachableError(
        location,
        /DENIED/.test(answer)
          ? (answer.split("\n")[0] ?? answer)
          : `Protocol error, not a Redis server: ${answer.replace(" Please report this.", "").replace("Protocol error, ", "")}`,
        error,
      ),
      /DENIED/.test(answer)
        ? "set a password for the server, or make it listen on 127.0.0.1 only"
        : "give the port of a Redis server; a TLS port needs rediss:// in the address",
    );
  if (connection.test(answer) || (typeof code === "string" && connection.test(code))) return unreachableError(location, answer, error);
  return error;
}

/** OpenSSL writes the names of its source files around the reason: `80CC…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…`. */
const reasonOf = (answer: string): string => /:SSL routines:[^:]*:([^:]+)/.exec(answer)?.[1] ?? answer.trim();

function permanent(error: LapidaryError, remedy: string): PermanentRedisError {
  const { code, message, location, cause } = error;
  return new PermanentRedisError({ code, message, ...(location === undefined ? {} : { location }), remedy, cause });
}
