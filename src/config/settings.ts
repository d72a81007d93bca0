// The values of all flags while a configuration is put together, and where each came from.

import { type FlagSpec, SETTINGS } from "./flags/index.js";
import type { ListenUrl } from "./urls.js";
import { type FlagValue, parseValue } from "./values.js";

/** Where a value came from. */
export type Origin = "default" | "flag" | "environment" | "file";

interface Setting {
  readonly text: string;
  readonly value: FlagValue;
  readonly origin: Origin;
}

const NANOSECONDS_PER_MILLISECOND = 1e6;

/** A text that is the same for equal values. */
const comparable = (value: FlagValue) =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part));

/** The row of a flag that this program itself names. */
function known(name: string): FlagSpec {
  const flag = SETTINGS.get(name);
  if (!flag) throw new TypeError(`no such flag in the table: ${name}`);
  return flag;
}

/** All flags with their values: the defaults until something else is set. */
export class Settings {
  readonly #settings = new Map<string, Setting>();

  constructor() {
    for (const flag of SETTINGS.values()) {
      this.#settings.set(flag.name, {
        text: flag.default,
        value: flag.kind === "ignored" ? "" : parseValue(flag, flag.default),
        origin: "default",
      });
    }
  }

  /** Reads `text` for the flag. Throws Error with the reason alone. */
  set(name: string, text: string, origin: Origin): void {
    this.#settings.set(name, { text, value: parseValue(known(name), text), origin });
  }

  isSet(name: string): boolean {
    return this.#of(name).origin !== "default";
  }

  /** Whether it has another value than the default. */
  asks(name: string): boolean {
    return this.differs(known(name));
  }

  /** The text that was given, or the default's. */
  raw(name: string): string {
    return this.#of(name).text;
  }

  text(name: string): string {
    const { value } = this.#of(name);
    if (typeof value !== "string") throw new TypeError(`${name} is no text`);
    return value;
  }

  /** The whole number, or the nanoseconds of a duration, exactly as given. */
  exact(name: string): bigint {
    const { value } = this.#of(name);
    if (typeof value !== "bigint") throw new TypeError(`${name} is no number`);
    return value;
  }

  /** As JavaScript has numbers: beyond 2^53 the nearest that it counts with; durations in milliseconds, with fractions. */
  number(name: string): number {
    const exact = this.exact(name);
    if (known(name).kind === "duration") return Number(exact) / NANOSECONDS_PER_MILLISECOND;
    const most = Number.MAX_SAFE_INTEGER;
    return Math.max(-most, Math.min(most, Number(exact)));
  }

  /** As `number`, where 0 stands for a default that only this program knows. */
  numberOr(name: string, fallback: number): number {
    const value = this.number(name);
    return value === 0 ? fallback : value;
  }

  bool(name: string): boolean {
    const { value } = this.#of(name);
    if (typeof value !== "boolean") throw new TypeError(`${name} is no bool`);
    return value;
  }

  list(name: string): readonly string[] {
    const { value } = this.#of(name);
    if (!Array.isArray(value)) throw new TypeError(`${name} is no list`);
    return value as readonly string[];
  }

  urls(name: string): readonly ListenUrl[] {
    if (known(name).kind !== "urls") throw new TypeError(`${name} holds no URLs`);
    return this.#of(name).value as readonly ListenUrl[];
  }

  gates(): ReadonlyMap<string, boolean> {
    return this.#of("feature-gates").value as ReadonlyMap<string, boolean>;
  }

  /** Whether the value is another one than the default, however it was written. */
  differs(flag: FlagSpec): boolean {
    const { value } = this.#of(flag.name);
    return comparable(value) !== comparable(parseValue(flag, flag.default));
  }

  /** Whether it asks for a feature that netcd does not have. */
  asksForMissing(flag: FlagSpec): boolean {
    if (flag.missing === null) return false;
    return flag.asks === "other" ? this.differs(flag) : this.isSet(flag.name) && !this.differs(flag);
  }

  #of(name: string): Setting {
    const setting = this.#settings.get(known(name).name);
    if (!setting) throw new TypeError(`the flag has no value: ${name}`);
    return setting;
  }
}
