// The logger: levels, fields, sampling; zap's shape (contract of etcd's log lines).

import { captureCaller } from "./caller.js";
import { encodeConsole, encodeJson, type Fields } from "./encode.js";
import { type Level, reaches } from "./level.js";
import type { Output } from "./outputs.js";

export type { Fields, FieldValue } from "./encode.js";
export type { Level } from "./level.js";

export interface LoggerOptions {
  readonly level: Level;
  readonly format: "json" | "console";
  readonly outputs: readonly Output[];
  /** Microseconds since 1970; given by tests. */
  readonly nowUs?: () => number;
}

/** Of each (level, message) these many lines a second are written, then every SAMPLE_EACH-th. */
const SAMPLE_FIRST = 100;
const SAMPLE_EACH = 100;
const SAMPLE_WINDOW_US = 1_000_000;
/** Different messages that are counted at a time; past it counting starts anew. */
const SAMPLE_MESSAGES_MAX = 4_096;

/** Lets at most so many lines of one text through, as zap's sampler does. */
class Sampler {
  readonly #counts = new Map<string, { windowStartUs: number; lines: number }>();

  /** Whether this line is among those that are written; counts it. */
  admits(level: Level, message: string, nowUs: number): boolean {
    const key = `${level} ${message}`;
    const count = this.#counts.get(key);
    if (!count || nowUs - count.windowStartUs >= SAMPLE_WINDOW_US) {
      if (this.#counts.size >= SAMPLE_MESSAGES_MAX) this.#counts.clear();
      this.#counts.set(key, { windowStartUs: nowUs, lines: 1 });
      return true;
    }
    count.lines += 1;
    return count.lines <= SAMPLE_FIRST || (count.lines - SAMPLE_FIRST) % SAMPLE_EACH === 0;
  }
}

const systemNowUs = () => (performance.timeOrigin + performance.now()) * 1000;

/** Writes lines at or above its level. A named logger shares outputs and sampling with the one it came from. */
export class Logger {
  readonly #options: LoggerOptions;
  readonly #sampler: Sampler;
  readonly #name: string;

  constructor(options: LoggerOptions, sampler = new Sampler(), name = "") {
    this.#options = options;
    this.#sampler = sampler;
    this.#name = name;
  }

  /** The same logger under the name of a part ("raft"). */
  named(name: string): Logger {
    return new Logger(this.#options, this.#sampler, name);
  }

  /** Whether a line of this level would be written. */
  enabled(level: Level): boolean {
    return reaches(level, this.#options.level);
  }

  debug(message: string, fields: Fields = {}): void {
    this.#write("debug", message, fields, this.debug);
  }

  info(message: string, fields: Fields = {}): void {
    this.#write("info", message, fields, this.info);
  }

  warn(message: string, fields: Fields = {}): void {
    this.#write("warn", message, fields, this.warn);
  }

  error(message: string, fields: Fields = {}): void {
    this.#write("error", message, fields, this.error);
  }

  /** Only the line: ending the process is the caller's, who knows what to close. */
  fatal(message: string, fields: Fields = {}): void {
    this.#write("fatal", message, fields, this.fatal);
  }

  /** As `fatal`, for what is a panic of etcd. */
  panic(message: string, fields: Fields = {}): void {
    this.#write("panic", message, fields, this.panic);
  }

  /** Closes files that were opened for it. */
  close(): void {
    for (const output of this.#options.outputs) output.close();
  }

  #write(level: Level, message: string, fields: Fields, below: (...args: never[]) => unknown): void {
    if (!this.enabled(level)) return;
    const timeUs = (this.#options.nowUs ?? systemNowUs)();
    if (!this.#sampler.admits(level, message, timeUs)) return;
    const { caller, stack } = captureCaller(below);
    const encode = this.#options.format === "json" ? encodeJson : encodeConsole;
    const line = encode({
      level,
      timeUs,
      logger: this.#name,
      caller,
      message,
      fields,
      stack: reaches(level, "error") ? stack : null,
    });
    for (const output of this.#options.outputs) output.write(line);
  }
}
