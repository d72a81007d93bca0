// From files to what the data plane takes: read together, with Go's texts for what cannot be read.

import { statSync } from "node:fs";
import type { Config } from "../config/config.js";
import type { TlsConfig } from "../config/tls.js";
import { readFile } from "../gofiles.js";
import type { SelfSigned, TlsOptions } from "../native/binding.js";

export type Side = "client" | "peer";

/** The rules of a side, with the files that it really has. */
export interface Sources {
  readonly side: Side;
  readonly tls: TlsConfig;
  /** The files were made by this member: nobody else has signed them, and nobody can check whose they are. */
  readonly selfSigned: boolean;
  /** What stands in the place of files for a side that dials with a CA alone; null: it has files. */
  readonly bare: SelfSigned | null;
}

/** A certificate and nothing else. */
export const BARE = {
  clientCertificate: null,
  clientKey: null,
  trustedCa: null,
  requiresClientCertificate: false,
  crl: null,
  crlProblem: null,
  allowedCommonNames: [],
  allowedHostnames: [],
  skipsSanVerification: false,
  commonNameIsUser: false,
  cipherSuites: [],
  minVersion: "TLS1.2",
  maxVersion: "TLS1.3",
  skipsServerVerification: false,
  serverName: null,
} as const satisfies Partial<TlsOptions>;

/** Whether a side was given a certificate, or half of it. */
export const hasFiles = (tls: TlsConfig) => tls.certFile !== "" || tls.keyFile !== "";

/** The paths of a side's files. */
export function filesOf(tls: TlsConfig): string[] {
  const { certFile, keyFile, clientCertFile, clientKeyFile, trustedCaFile, crlFile } = tls;
  return [certFile, keyFile, clientCertFile, clientKeyFile, trustedCaFile, crlFile].filter((file) => file !== "");
}

/** Throws Error with Go's text if a file cannot be read. */
export function readMaterial(config: Config, { side, tls, selfSigned, bare }: Sources): TlsOptions {
  return {
    ...(bare === null ? readPairs(tls) : bareRules(bare)),
    trustedCa: optional(tls.trustedCaFile),
    requiresClientCertificate: tls.clientCertAuth || tls.trustedCaFile !== "",
    ...readCrl(tls.crlFile),
    skipsSanVerification: tls.skipsSanVerification,
    commonNameIsUser: side === "client" && tls.clientCertAuth,
    cipherSuites: [...config.cipherSuites],
    minVersion: config.tlsMinVersion,
    maxVersion: config.tlsMaxVersion,
    skipsServerVerification: selfSigned,
    serverName: null,
  };
}

type Pairs = Pick<
  TlsOptions,
  "certificate" | "key" | "clientCertificate" | "clientKey" | "allowedCommonNames" | "allowedHostnames"
>;

function readPairs(tls: TlsConfig): Pairs {
  const { certFile, keyFile, clientCertFile, clientKeyFile } = tls;
  if (certFile === "" || keyFile === "") {
    throw new Error(`KeyFile and CertFile must both be present[key: ${keyFile}, cert: ${certFile}]`);
  }
  const [certificate, key] = [readFile(certFile), readFile(keyFile)];
  if ((clientCertFile === "") !== (clientKeyFile === "")) {
    const both = `key: ${clientKeyFile}, cert: ${clientCertFile}`;
    throw new Error(`ClientKeyFile and ClientCertFile must both be present or both absent: ${both}]`);
  }
  return {
    certificate,
    key,
    clientCertificate: optional(clientCertFile),
    clientKey: optional(clientKeyFile),
    allowedCommonNames: [...tls.allowedCommonNames],
    allowedHostnames: [...tls.allowedHostnames],
  };
}

/** Without a certificate etcd has no rules about those of others either. */
const bareRules = ({ certificate, key }: SelfSigned): Pairs => ({
  certificate: Buffer.from(certificate),
  key: Buffer.from(key),
  clientCertificate: null,
  clientKey: null,
  allowedCommonNames: [],
  allowedHostnames: [],
});

/** A list that cannot be read refuses callers, and does not keep a member from starting. */
function readCrl(file: string): Pick<TlsOptions, "crl" | "crlProblem"> {
  if (file === "") return { crl: null, crlProblem: null };
  try {
    return { crl: readFile(file), crlProblem: null };
  } catch (error) {
    return { crl: null, crlProblem: (error as Error).message };
  }
}

const optional = (file: string) => (file === "" ? null : readFile(file));

const OTHERS = 0o077;

/** Files of private keys that others than their owner may read, or write, with their modes. */
export function openKeys(tls: TlsConfig): { file: string; mode: string }[] {
  return [tls.keyFile, tls.clientKeyFile].flatMap((file) => {
    const found = file === "" ? undefined : statSync(file, { throwIfNoEntry: false });
    const mode = (found?.mode ?? 0) & 0o777;
    return (mode & OTHERS) === 0 ? [] : [{ file, mode: mode.toString(8).padStart(4, "0") }];
  });
}
