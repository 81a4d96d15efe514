import { deepEqual, equal } from "node:assert/strict";
import { devNull } from "node:os";
import { pipEnvironment, verdictOf } from "./pip.mjs";
import { answer, pythonEnvironment } from "./python.mjs";

describe("the output of pip", () => {
  for (const [verdict, outputs] of /** @type {const} */ ([
    [
      "refused",
      [
        "ERROR: Could not find an activated virtualenv (required).",
        "ERROR: Hashes are required in --require-hashes mode, but they are missing from some requirements.",
        "ERROR: Could not open requirements file: [Errno 2] No such file or directory: '/nowhere/c.txt'",
        "An error occurred during configuration: option retries: invalid integer value: 'often'",
        "/usr/bin/python3: No module named pip",
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))'\nERROR: No matching distribution found for x",
        "WARNING: 401 Error, Credentials not correct for https://index/simple/x/\nERROR: No matching distribution found for x",
        "OSError('Tunnel connection failed: 407 Proxy Authentication Required')",
      ],
    ],
    [
      "network",
      [
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(': Failed to establish a new connection: [Errno -2] Name or service not known')'",
        "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='h', port=443): Read timed out.",
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 503'))'",
        "pip._internal.exceptions.NetworkConnectionError: 502 Server Error: Bad Gateway for url: https://h/x.whl",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "ProtocolError: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))",
      ],
    ],
    [
      "missing",
      [
        "ERROR: Could not find a version that satisfies the requirement x (from versions: none)\nERROR: No matching distribution found for x",
      ],
    ],
    [
      "disk",
      [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "OSError: [Errno 122] Disk quota exceeded: '/home/me/.cache'",
      ],
    ],
  ]))
    it(`this output counts as ${verdict}`, () => {
      for (const output of outputs) equal(verdictOf(output), verdict, output);
    });

  it("pip ignores settings for installing, and uses index, proxy and certificates", () => {
    const kept = {
      PIP_INDEX_URL: "https://index",
      PIP_EXTRA_INDEX_URL: "https://other",
      PIP_PROXY: "http://proxy",
      PIP_CERT: "/certs.pem",
      PIP_CLIENT_CERT: "/client.pem",
      PIP_TRUSTED_HOST: "index",
      PIP_FIND_LINKS: "/wheels",
      PIP_NO_INDEX: "1",
      PIP_CONFIG_FILE: "/pip.conf",
      PIP_CACHE_DIR: "/cache",
      HTTPS_PROXY: "http://proxy",
    };
    const env = pipEnvironment({
      ...kept,
      PIP_REQUIRE_VIRTUALENV: "true",
      PIP_REQUIRE_HASHES: "1",
      PIP_CONSTRAINT: "c.txt",
      PIP_QUIET: "3",
      PIP_USER: "1",
      PIP_TARGET: "/t",
      PIP_PREFIX: "/p",
      PIP_PLATFORM: "win_amd64",
      PIP_LOG: "/nowhere/log",
    });
    deepEqual(env, {
      ...kept,
      PIP_REQUIRE_VIRTUALENV: "0",
      PIP_REQUIRE_HASHES: "0",
      PIP_QUIET: "0",
      PIP_VERBOSE: "0",
      PIP_CONSTRAINT: devNull,
      PIP_REQUIREMENT: devNull,
    });
  });
});

describe("a Python that prints extra lines", () => {
  it("the set-up reads the marked line alone", () => {
    equal(answer("Welcome\nlapidary-python 3.11.2\r\nlapidary-python-pip 23.0\nBye", "lapidary-python"), "3.11.2");
    equal(answer("Welcome lapidary-python 3.11.2", "lapidary-python"), undefined);
    equal(answer("", "lapidary-python"), undefined);
  });

  it("Python starts without variables that change its start, and with those that it needs to reach an index", () => {
    const env = pythonEnvironment({ PYTHONHOME: "/x", PYTHONPATH: "/y", PYTHONINSPECT: "1", PYTHONHTTPSVERIFY: "0", SSL_CERT_FILE: "/c" });
    deepEqual(env, { PYTHONHTTPSVERIFY: "0", SSL_CERT_FILE: "/c", PYTHONIOENCODING: "utf-8" });
  });
});
