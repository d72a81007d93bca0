// The files of one side while a member runs: they are taken anew when they change, also when a symlink above them does,
// as in volumes of Kubernetes. What cannot be used leaves what was there before.

import { type FSWatcher, realpathSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { Config } from "../config/config.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import type { TlsFound, TlsOptions } from "../native/binding.js";
import { type End, ExpiryWarnings, endsOf } from "./expiry.js";
import { filesOf, openKeys, readMaterial, type Sources } from "./material.js";

/** Throws etcd's text for what cannot be used. */
export type Check = (options: TlsOptions) => TlsFound;

interface Usable {
  readonly options: TlsOptions;
  readonly found: TlsFound;
  /** Why the revocation list is none. */
  readonly problem: string | null;
}

/** What the data plane says of a revocation list that is none. */
const MALFORMED_LIST = "x509: malformed crl";

export class TlsFiles {
  readonly sources: Sources;
  #options: TlsOptions;
  #found: TlsFound;
  /** Times that new files could not be used. */
  #failures = 0;
  readonly #config: Config;
  readonly #check: Check;
  readonly #log: Logger;
  readonly #warnings: ExpiryWarnings;
  #use: (options: TlsOptions) => void = () => {};
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | null = null;
  #settling: NodeJS.Timeout | null = null;
  /** What could not be used when it was looked at last. */
  #doubtful: { readonly material: TlsOptions | null; readonly reason: string; said: boolean } | null = null;

  /** Throws Error with etcd's text if the files cannot be used. */
  constructor(config: Config, sources: Sources, check: Check, log: Logger) {
    this.#config = config;
    this.sources = sources;
    this.#check = check;
    this.#log = log;
    this.#warnings = new ExpiryWarnings(log);
    const { options, found } = this.#usable(readMaterial(config, sources), null);
    this.#options = options;
    this.#found = found;
  }

  /**
   * A list that cannot be used keeps nothing else from being taken: the one of before stays, `kept`; without one nobody
   * gets in. Throws Error with etcd's text for all else.
   */
  #usable(material: TlsOptions, kept: Uint8Array | null): Usable {
    const withoutList = (problem: string) => {
      const list = kept === null ? { crl: null, crlProblem: problem } : { crl: kept, crlProblem: null };
      const options = { ...material, ...list };
      return { options, found: this.#check(options), problem };
    };
    if (material.crlProblem !== null) return withoutList(material.crlProblem);
    try {
      return { options: material, found: this.#check(material), problem: null };
    } catch (error) {
      const { message } = error as Error;
      if (message !== MALFORMED_LIST) throw error;
      return withoutList(message);
    }
  }

  /** The newest that can be used. */
  get options(): TlsOptions {
    return this.#options;
  }

  get failures(): number {
    return this.#failures;
  }

  ends(): End[] {
    return endsOf(this.sources, this.#found);
  }

  /** Says what is to be said of files that are in use. */
  announce(): void {
    const { side, tls } = this.sources;
    for (const found of openKeys(tls)) this.#log.warn("a private key may be read by others", found);
    if (this.#found.ignoredCipherSuites.length > 0) {
      this.#log.warn("cipher suites that netcd does not have are ignored", {
        role: side,
        "cipher-suites": this.#found.ignoredCipherSuites,
      });
    }
    const { crlProblem } = this.#options;
    if (crlProblem !== null) {
      this.#log.error("no revocation list: every certificate is refused", { role: side, error: new Error(crlProblem) });
    }
    this.#warnings.look(this.ends(), Date.now());
  }

  /** `use` takes what is there from now on. */
  watch(use: (options: TlsOptions) => void): void {
    this.#use = use;
    this.#watchDirectories();
    this.#timer = setInterval(() => this.#look(), limits.tlsLookIntervalMs);
    this.#timer.unref();
  }

  stop(): void {
    this.#unwatch();
    if (this.#timer) clearInterval(this.#timer);
    if (this.#settling) clearTimeout(this.#settling);
  }

  /** Of the files as they are named, and of those that they lead to. A directory that is gone is found by the next look. */
  #watchDirectories(): void {
    this.#unwatch();
    for (const directory of new Set(filesOf(this.sources.tls).flatMap(directoriesOf))) {
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#soon(limits.tlsSettleMs));
        watcher.on("error", () => watcher.close());
        this.#watchers.push(watcher);
      } catch (error) {
        this.#log.warn("changes of TLS files are noticed later", { directory, error: error as Error });
      }
    }
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  /** Files that belong together are replaced one after the other. */
  #soon(ms: number): void {
    if (this.#settling) clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#look(), ms);
    this.#settling.unref();
  }

  #look(): void {
    this.#warnings.look(this.ends(), Date.now());
    let material: TlsOptions | null = null;
    try {
      material = readMaterial(this.#config, this.sources);
      if (isSame(material, this.#options)) {
        this.#doubtful = null;
        return;
      }
      const usable = this.#usable(material, this.#options.crl);
      if (!isSame(usable.options, this.#options)) this.#take(usable);
      if (usable.problem === null || usable.problem === this.#options.crlProblem) this.#doubtful = null;
      else this.#doubt(material, usable.problem);
    } catch (error) {
      this.#doubt(material, (error as Error).message);
    }
  }

  #take({ options, found }: Usable): void {
    this.#use(options);
    this.#options = options;
    this.#found = found;
    this.#log.info("took new TLS files", { role: this.sources.side });
    this.announce();
    this.#watchDirectories();
  }

  /** It may be the middle of a replacement: what is the same a moment later is what they put there. */
  #doubt(material: TlsOptions | null, reason: string): void {
    const before = this.#doubtful;
    const isSecond = before !== null && before.reason === reason && isSameOrNone(before.material, material);
    if (!isSecond) {
      this.#doubtful = { material, reason, said: false };
      this.#soon(limits.tlsDoubtMs);
      return;
    }
    if (before.said) return;
    before.said = true;
    this.#failures += 1;
    this.#log.error("new TLS files cannot be used; those of before stay in use", {
      role: this.sources.side,
      error: new Error(reason),
    });
  }
}

function directoriesOf(file: string): string[] {
  try {
    return [dirname(file), dirname(realpathSync(file))];
  } catch {
    // It is not there at the moment.
    return [dirname(file)];
  }
}

const PARTS = ["certificate", "key", "clientCertificate", "clientKey", "trustedCa", "crl"] as const;

function isSame(one: TlsOptions, other: TlsOptions): boolean {
  const same = (a: Uint8Array | null, b: Uint8Array | null) =>
    a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
  return one.crlProblem === other.crlProblem && PARTS.every((part) => same(one[part], other[part]));
}

const isSameOrNone = (one: TlsOptions | null, other: TlsOptions | null) =>
  one === null || other === null ? one === other : isSame(one, other);
