// What a question to another member over HTTPS shows and asks for: the rules of the peers' links.

import type { RequestOptions } from "node:https";
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

/** A common name never counts as a host. */
function checkName(host: string, certificate: PeerCertificate): Error | undefined {
  if (certificate.subjectaltname === undefined) {
    return new Error(`x509: certificate is not valid for any names, but wanted to match ${host}`);
  }
  return checkServerIdentity(host, certificate);
}

function checkAllowed(options: TlsOptions, certificate: PeerCertificate): Error | undefined {
  const { allowedCommonNames, allowedHostnames } = options;
  const commonName = [certificate.subject.CN].flat()[0] ?? "";
  const named = allowedCommonNames.length === 0 || allowedCommonNames.includes(commonName);
  const isFor = (name: string) => checkName(name, certificate) === undefined;
  const good = named && (allowedHostnames.length === 0 || allowedHostnames.some(isFor));
  return good ? undefined : new Error("client certificate authentication failed");
}
