// What a question to another member over HTTPS shows and asks for: the rules of the peers' links.

import type { RequestOptions } from "node:https";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { TlsOptions } from "../native/binding.js";

const VERSIONS = { "TLS1.2": "TLSv1.2", "TLS1.3": "TLSv1.3" } as const;

/** For node:https. null: this member has no files; whom the system trusts is believed. */
export function dialOptions(options: TlsOptions | null): RequestOptions {
  if (options === null) return { checkServerIdentity: checkName };
  return {
    cert: Buffer.from(options.clientCertificate ?? options.certificate),
    key: Buffer.from(options.clientKey ?? options.key),
    ...(options.trustedCa === null ? {} : { ca: Buffer.from(options.trustedCa) }),
    rejectUnauthorized: !options.skipsServerVerification,
    checkServerIdentity: (host, certificate) => checkName(host, certificate) ?? checkAllowed(options, certificate),
    minVersion: VERSIONS[options.minVersion],
    maxVersion: VERSIONS[options.maxVersion],
  };
}

/** In Go's words. A common name never counts as a host. */
function checkName(host: string, certificate: PeerCertificate): Error | undefined {
  const names = (certificate.subjectaltname ?? "").split(", ").map((each) => each.replace(/^(DNS|IP Address):/, ""));
  const refusal = certificate.subjectaltname === undefined ? NO_NAMES : checkServerIdentity(host, certificate);
  if (refusal === undefined) return undefined;
  if (isIP(host) !== 0 && !names.some((name) => isIP(name) !== 0)) {
    return notVerified(`cannot validate certificate for ${host} because it doesn't contain any IP SANs`);
  }
  if (refusal === NO_NAMES) return notVerified(`certificate is not valid for any names, but wanted to match ${host}`);
  const those = names.filter((name) => (isIP(name) !== 0) === (isIP(host) !== 0));
  return notVerified(`certificate is valid for ${those.join(", ")}, not ${host}`);
}

const NO_NAMES = new Error("the certificate has no names");

const notVerified = (reason: string, cause?: Error) =>
  new Error(`tls: failed to verify certificate: x509: ${reason}`, cause && { cause });

const UNKNOWN_AUTHORITY = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
]);

/** What node:https says of a server's certificate, in Go's words; other errors as they are. */
export function inGoWords(error: Error): Error {
  const { code = "" } = error as NodeJS.ErrnoException;
  if (UNKNOWN_AUTHORITY.has(code)) return notVerified("certificate signed by unknown authority", error);
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return notVerified("certificate has expired or is not yet valid", error);
  }
  return error;
}

function checkAllowed(options: TlsOptions, certificate: PeerCertificate): Error | undefined {
  const { allowedCommonNames, allowedHostnames } = options;
  const commonName = [certificate.subject.CN].flat()[0] ?? "";
  const named = allowedCommonNames.length === 0 || allowedCommonNames.includes(commonName);
  const isFor = (name: string) => checkName(name, certificate) === undefined;
  const good = named && (allowedHostnames.length === 0 || allowedHostnames.some(isFor));
  return good ? undefined : new Error("client certificate authentication failed");
}
