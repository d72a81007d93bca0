// From files to what the data plane takes: read together, with Go's texts for what cannot be read.

import { readFileSync } from "node:fs";
import type { Config } from "../config/config.js";
import type { TlsConfig } from "../config/tls.js";
import type { TlsOptions } from "../native/binding.js";

export type Side = "client" | "peer";

/** Whether a side has what it needs to serve TLS. */
export const hasCertificate = (tls: TlsConfig) => tls.certFile !== "" && tls.keyFile !== "";

/** The files of a side, by what they are. */
export function filesOf(tls: TlsConfig): [string, string][] {
  const all: [string, string][] = [
    ["certificate", tls.certFile],
    ["key", tls.keyFile],
    ["client certificate", tls.clientCertFile],
    ["client key", tls.clientKeyFile],
    ["ca", tls.trustedCaFile],
    ["crl", tls.crlFile],
  ];
  return all.filter(([, file]) => file !== "");
}

/** Throws Error with Go's text if a file cannot be read. */
export function readMaterial(config: Config, side: Side): TlsOptions {
  const tls = side === "client" ? config.clientTls : config.peerTls;
  const optional = (file: string) => (file === "" ? null : read(file));
  return {
    certificate: read(tls.certFile),
    key: read(tls.keyFile),
    clientCertificate: optional(tls.clientCertFile),
    clientKey: optional(tls.clientKeyFile),
    trustedCa: optional(tls.trustedCaFile),
    requiresClientCertificate: tls.clientCertAuth || tls.trustedCaFile !== "",
    ...readCrl(tls.crlFile),
    allowedCommonNames: [...tls.allowedCommonNames],
    allowedHostnames: [...tls.allowedHostnames],
    skipsSanVerification: tls.skipsSanVerification,
    commonNameIsUser: side === "client" && tls.clientCertAuth,
    cipherSuites: [...config.cipherSuites],
    minVersion: config.tlsMinVersion,
    maxVersion: config.tlsMaxVersion,
    skipsServerVerification: tls.auto,
    serverName: null,
  };
}

/** A list that cannot be read refuses callers, and does not keep a member from starting. */
function readCrl(file: string): Pick<TlsOptions, "crl" | "crlProblem"> {
  if (file === "") return { crl: null, crlProblem: null };
  try {
    return { crl: read(file), crlProblem: null };
  } catch (error) {
    return { crl: null, crlProblem: (error as Error).message };
  }
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "no such file or directory" : code === "EACCES" ? "permission denied" : `${code}`;
    throw new Error(`open ${file}: ${reason}`);
  }
}
