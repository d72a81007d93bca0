// Which files of TLS a member has to have, and whether they can be used: asked before anything of it is touched. Where
// etcd finds a mistake late, this start ends with the line that etcd ends with.

import type { Config } from "../config/config.js";
import type { TlsConfig } from "../config/tls.js";
import { isSecured } from "../config/urls.js";
import type { Logger } from "../log/logger.js";
import type { NativeBinding } from "../native/binding.js";
import { TlsFiles } from "../tls/files.js";
import { BARE, hasFiles, type Side } from "../tls/material.js";
import { FatalError } from "./failures.js";

export type TlsBinding = Pick<NativeBinding, "checkTls" | "selfSignedCertificate">;

/** TLS cannot be had as it is configured. */
export class TlsError extends FatalError {
  constructor(
    message: string,
    readonly reason: string,
    /** A line before the last one. */
    readonly first: { readonly level: "warn" | "error"; readonly message: string } | null = null,
  ) {
    super(message, { error: reason });
  }
}

/** Whether the member makes its own certificate. */
export const makesOwn = (tls: TlsConfig) => tls.auto && !hasFiles(tls);

/** The sides that have files, read and checked. Throws TlsError with etcd's text for what cannot be used. */
export function givenSides(config: Config, binding: TlsBinding, log: Logger): TlsFiles[] {
  checkSuites(config, binding);
  return [peerSide(config, binding, log), clientSide(config, binding, log)].filter((side) => side !== null);
}

/** Suites are refused by name whether anything is served with TLS or not. */
function checkSuites({ cipherSuites }: Config, binding: TlsBinding): void {
  if (cipherSuites.length === 0) return;
  const { certificate, key } = binding.selfSignedCertificate(["localhost"], 1);
  const pair = { certificate: Buffer.from(certificate), key: Buffer.from(key) };
  try {
    binding.checkTls({ ...BARE, ...pair, cipherSuites: [...cipherSuites] });
  } catch (error) {
    const { message } = error as Error;
    // What HTTP/2 needs matters only where there is TLS.
    if (!message.startsWith("http2: ")) throw new TlsError("discovery failed", message);
  }
}

/** These files are read even if no URL has TLS: the member dials with them. */
function peerSide(config: Config, binding: TlsBinding, log: Logger): TlsFiles | null {
  const { peerTls, listenPeerUrls } = config;
  const secured = listenPeerUrls.find(isSecured);
  const first = { level: "error", message: secured ? "creating peer listener failed" : "bootstrap failed" } as const;
  if (makesOwn(peerTls)) return refuseNoYears(config, "peer");
  if (secured && !hasFiles(peerTls)) {
    const reason = `cannot listen on TLS for ${secured.address}: KeyFile and CertFile are not presented`;
    throw new TlsError("discovery failed", reason, first);
  }
  if (!hasFiles(peerTls) && peerTls.trustedCaFile === "") return null;
  try {
    return openSide(config, "peer", peerTls, binding, log);
  } catch (error) {
    throw new TlsError("discovery failed", (error as Error).message, first);
  }
}

function clientSide(config: Config, binding: TlsBinding, log: Logger): TlsFiles | null {
  const { clientTls, listenClientUrls, listenClientHttpUrls, listenMetricsUrls } = config;
  if (makesOwn(clientTls)) return refuseNoYears(config, "client");
  const client = [...listenClientUrls, ...listenClientHttpUrls].find(isSecured);
  if (!client && !listenMetricsUrls.some(isSecured)) return null;
  if (!hasFiles(clientTls)) {
    const files = "TLS key/cert (--cert-file, --key-file) must be provided for";
    throw new TlsError(
      "discovery failed",
      client ? `${files} client url ${client.text} with HTTPS scheme` : `client ${files} metrics secure url`,
    );
  }
  try {
    return openSide(config, "client", clientTls, binding, log);
  } catch (error) {
    throw new TlsError("listener failed", (error as Error).message);
  }
}

function refuseNoYears({ selfSignedCertValidityYears }: Config, side: Side): null {
  if (selfSignedCertValidityYears > 0) return null;
  throw new TlsError(
    `failed to get ${side} self-signed certs`,
    "selfSignedCertValidity is invalid,it should be greater than 0",
    { level: "warn", message: "cannot generate cert" },
  );
}

/** Throws Error with etcd's text. */
export function openSide(
  config: Config,
  side: Side,
  tls: TlsConfig,
  { checkTls, selfSignedCertificate }: TlsBinding,
  log: Logger,
): TlsFiles {
  // A member that was given a CA alone dials with it. The data plane wants a pair all the same; nobody believes this one.
  const bare = hasFiles(tls) ? null : selfSignedCertificate(["localhost"], 1);
  const selfSigned = makesOwn(side === "peer" ? config.peerTls : config.clientTls);
  return new TlsFiles(config, { side, tls, selfSigned, bare }, checkTls, log);
}
