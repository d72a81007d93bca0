// Files of TLS are taken anew when they change: also when a symlink above them does, as in volumes of Kubernetes.

import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import type { Config } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import type { TlsFound, TlsOptions } from "../native/binding.js";
import { filesOf, readMaterial, type Side } from "./material.js";

const LOOK_INTERVAL_MS = 10_000;
/** Files that belong together are replaced one after the other. */
const SETTLE_MS = 50;

/** One side's files and what was made of them last. */
export class TlsFiles {
  found: TlsFound;
  options: TlsOptions;
  readonly #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | null = null;
  #settling: NodeJS.Timeout | null = null;
  #refused = "";

  /** Throws Error with etcd's text if the files cannot be used. */
  constructor(
    readonly side: Side,
    private readonly config: Config,
    private readonly check: (options: TlsOptions) => TlsFound,
    private readonly log: Logger,
  ) {
    this.options = readMaterial(config, side);
    this.found = check(this.options);
  }

  /** `use` takes what is there now, and what will be. */
  start(use: (options: TlsOptions) => void): void {
    const files = filesOf(this.side === "client" ? this.config.clientTls : this.config.peerTls);
    for (const directory of new Set(files.map(([, file]) => dirname(file)))) {
      this.#watchers.push(watch(directory, () => this.#soon(use)));
    }
    this.#timer = setInterval(() => this.#look(use), LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    for (const one of this.#watchers) one.close();
    if (this.#timer) clearInterval(this.#timer);
    if (this.#settling) clearTimeout(this.#settling);
  }

  #soon(use: (options: TlsOptions) => void): void {
    if (this.#settling) clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#look(use), SETTLE_MS);
    this.#settling.unref();
  }

  #look(use: (options: TlsOptions) => void): void {
    try {
      const options = readMaterial(this.config, this.side);
      if (same(options, this.options)) return;
      this.found = this.check(options);
      use(options);
      this.options = options;
      this.#refused = "";
      this.log.info("TLS files were replaced", { side: this.side });
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#refused) {
        this.log.error("TLS files cannot be used, what was there before stays", { side: this.side, error: error as Error });
      }
      this.#refused = message;
    }
  }
}

const PARTS = ["certificate", "key", "clientCertificate", "clientKey", "trustedCa", "crl"] as const;

function same(one: TlsOptions, other: TlsOptions): boolean {
  return PARTS.every((part) => {
    const [a, b] = [one[part], other[part]];
    return a === null || b === null ? a === b : Buffer.from(a).equals(b);
  }) && one.crlProblem === other.crlProblem;
}
