// Files of TLS for tests: certificates that sign themselves, made by the data plane.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config/config.js";
import { loadConfig } from "../../config/load.js";
import type { TlsConfig } from "../../config/tls.js";
import { Logger } from "../../log/logger.js";
import type { SelfSigned } from "../../native/binding.js";
import { loadBinding } from "../../native/load.js";

export const binding = loadBinding();

export type Line = Record<string, unknown>;

/** A directory of files, and a log that is kept. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "netcd-tls-"));
  readonly lines: Line[] = [];
  readonly log = new Logger({
    level: "info",
    format: "json",
    outputs: [{ write: (text) => void this.lines.push(JSON.parse(text)), close: () => {} }],
  });

  /** Writes a file and returns its path. */
  write(name: string, text: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** A new pair for loopback in `<name>.pem` and `<name>.key`. */
  pair(name: string, days = 100): { cert: string; key: string; made: SelfSigned } {
    const made = binding.selfSignedCertificate(["localhost", "127.0.0.1"], days);
    return { cert: this.write(`${name}.pem`, made.certificate), key: this.write(`${name}.key`, made.key), made };
  }

  messages(level: string): unknown[] {
    return this.lines.filter((line) => line["level"] === level).map((line) => line["msg"]);
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}

export function configOf(...args: string[]): Config {
  const loaded = loadConfig(args, {});
  if (loaded.kind !== "run") throw new Error(`cannot run: ${JSON.stringify(loaded)}`);
  return loaded.config;
}

/** Rules of a side with these files. */
export const rules = (given: Partial<TlsConfig>): TlsConfig => ({ ...configOf().clientTls, ...given });
