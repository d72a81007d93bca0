// Flags of TLS, of what browsers may do, and of users.

import { rowsOf } from "./spec.js";

const security = rowsOf("Security");
const auth = rowsOf("Auth");

const client = (key: string) => ["client-transport-security", key];
const peer = (key: string) => ["peer-transport-security", key];

export const securityFlags = [
  security("cert-file", "string", "", "Certificate of the client port.", { yaml: client("cert-file") }),
  security("key-file", "string", "", "Key of the client port's certificate.", { yaml: client("key-file") }),
  security("client-cert-auth", "bool", "false", "Require client certificates.", {
    yaml: client("client-cert-auth"),
  }),
  security("client-cert-file", "string", "", "Certificate of the server acting as a client.", {
    yaml: client("client-cert-file"),
  }),
  security("client-key-file", "string", "", "Key of that certificate.", { yaml: client("client-key-file") }),
  security("client-crl-file", "string", "", "Revocation list of the client port.", { yaml: null }),
  security("client-cert-allowed-hostname", "strings", "", "Hostnames that a client certificate may be for.", {
    yaml: client("allowed-hostname"),
  }),
  security("trusted-ca-file", "string", "", "CA of client certificates.", { yaml: client("trusted-ca-file") }),
  security("auto-tls", "bool", "false", "Generate a certificate for the client port.", {
    yaml: client("auto-tls"),
  }),
  security("peer-cert-file", "string", "", "Certificate of the peer port.", { yaml: peer("cert-file") }),
  security("peer-key-file", "string", "", "Key of the peer port's certificate.", { yaml: peer("key-file") }),
  security("peer-client-cert-auth", "bool", "false", "Require certificates of peers.", {
    yaml: peer("client-cert-auth"),
  }),
  security("peer-client-cert-file", "string", "", "Certificate for calls to peers.", {
    yaml: peer("client-cert-file"),
  }),
  security("peer-client-key-file", "string", "", "Key of that certificate.", {
    yaml: peer("client-key-file"),
  }),
  security("peer-trusted-ca-file", "string", "", "CA of peers.", { yaml: peer("trusted-ca-file") }),
  security("peer-cert-allowed-cn", "strings", "", "Common names that a peer may have.", {
    yaml: peer("allowed-cn"),
  }),
  security("peer-cert-allowed-hostname", "strings", "", "Hostnames that a peer's certificate may be for.", {
    yaml: peer("allowed-hostname"),
  }),
  security("peer-auto-tls", "bool", "false", "Generate a certificate for the peer port.", {
    yaml: peer("auto-tls"),
  }),
  security("peer-crl-file", "string", "", "Revocation list of the peer port.", { yaml: null }),
  security("peer-skip-client-san-verification", "bool", "false", "Do not check the names in peers' certificates.", {
    yaml: peer("skip-client-san-verification"),
  }),
  security("self-signed-cert-validity", "uint", "1", "Years that a generated certificate is valid."),
  security("cipher-suites", "strings", "", "Cipher suites of TLS 1.2; empty = default."),
  security("tls-min-version", "string", "TLS1.2", "Lowest TLS version: TLS1.2 or TLS1.3."),
  security("tls-max-version", "string", "", "Highest TLS version; empty = the highest there is."),
  security("cors", "urls", "*", "Origins that browsers may come from.", { exception: "*" }),
  security("host-whitelist", "set", "*", "Host names that plain HTTP requests may name; * or empty = all."),
] as const;

/** What only the config file has. */
export const securityKeys = [
  security("client-transport-security.allowed-cn", "strings", "", "Common names that a client may have.", {
    yaml: client("allowed-cn"),
  }),
  security(
    "client-transport-security.skip-client-san-verification",
    "bool",
    "false",
    "Not on the metrics port either.",
    {
      yaml: client("skip-client-san-verification"),
    },
  ),
] as const;

export const authFlags = [
  auth("auth-token", "string", "simple", "Kind of token: simple, or jwt and its options."),
  auth("bcrypt-cost", "uint", "10", "Cost of password hashes, 4 to 31."),
  auth("auth-token-ttl", "uint", "300", "Seconds after which an unused simple token expires."),
] as const;
