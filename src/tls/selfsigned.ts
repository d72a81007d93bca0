// Certificates that a member makes for itself (--auto-tls, --peer-auto-tls), where etcd puts them and as it makes them.

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config, ListenUrl } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import type { NativeBinding } from "../native/binding.js";
import type { Side } from "./material.js";

const DAYS_A_YEAR = 365;
const MS_A_DAY = 24 * 60 * 60 * 1_000;
/** Made anew when less of its life is left, which is before anybody is warned. */
const RENEWAL_DAYS = 31;

export interface OwnPair {
  readonly certFile: string;
  readonly keyFile: string;
}

type Maker = Pick<NativeBinding, "selfSignedCertificate"> & {
  /** When the first certificate of a PEM file ends, in milliseconds since 1970; null: it is none. */
  readonly endOf: (certificate: Uint8Array, key: Uint8Array) => number | null;
};

/** The files of a side: those that are there, or new ones for the hosts of these URLs. */
export function ownPair(config: Config, side: Side, urls: readonly ListenUrl[], maker: Maker, log: Logger): OwnPair {
  const directory = join(config.dataDir, "fixtures", side);
  const pair = { certFile: join(directory, "cert.pem"), keyFile: join(directory, "key.pem") };
  if (isGood(pair, maker)) return pair;
  const days = config.selfSignedCertValidityYears * DAYS_A_YEAR;
  for (const each of [config.dataDir, join(config.dataDir, "fixtures"), directory]) {
    mkdirSync(each, { recursive: true, mode: 0o700 });
  }
  log.warn("automatically generate certificates", {
    "certificate-validity-bound-not-after": new Date(Date.now() + days * MS_A_DAY).toISOString(),
  });
  const hosts = [...new Set(urls.map(({ host }) => host).filter((host) => host !== ""))];
  const made = maker.selfSignedCertificate(hosts, days);
  // The key first: a certificate without one would be taken for whole.
  replace(pair.keyFile, made.key, 0o600);
  replace(pair.certFile, made.certificate, 0o644);
  log.info("created cert file", { path: pair.certFile });
  log.info("created key file", { path: pair.keyFile });
  return pair;
}

function isGood({ certFile, keyFile }: OwnPair, maker: Maker): boolean {
  if (!existsSync(certFile) || !existsSync(keyFile)) return false;
  const end = maker.endOf(readFileSync(certFile), readFileSync(keyFile));
  return end !== null && end - Date.now() > RENEWAL_DAYS * MS_A_DAY;
}

function replace(file: string, text: string, mode: number): void {
  const made = `${file}.new`;
  writeFileSync(made, text, { mode });
  chmodSync(made, mode);
  renameSync(made, file);
}
