// The values of all flags while a configuration is put together, and where each came from.

import { FLAGS, type FlagSpec } from "./flags/index.js";
import type { ListenUrl } from "./urls.js";
import { type FlagValue, parseValue } from "./values.js";

/** Where a value came from. */
export type Origin = "default" | "flag" | "environment" | "file";

interface Setting {
  readonly text: string;
  readonly value: FlagValue;
  readonly origin: Origin;
}

/** The row of a flag that this program itself names. */
function known(name: string): FlagSpec {
  const flag = FLAGS.get(name);
  if (!flag) throw new TypeError(`no such flag in the table: ${name}`);
  return flag;
}

/** All flags with their values: the defaults until something else is set. */
export class Settings {
  readonly #settings = new Map<string, Setting>();

  constructor() {
    for (const flag of FLAGS.values()) {
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

  /** The text that was given, or the default's. */
  raw(name: string): string {
    return this.#of(name).text;
  }

  text(name: string): string {
    const { value } = this.#of(name);
    if (typeof value !== "string") throw new TypeError(`${name} is no text`);
    return value;
  }

  number(name: string): number {
    const { value } = this.#of(name);
    if (typeof value !== "number") throw new TypeError(`${name} is no number`);
    return value;
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
    return JSON.stringify(value) !== JSON.stringify(parseValue(flag, flag.default));
  }

  #of(name: string): Setting {
    const setting = this.#settings.get(known(name).name);
    if (!setting) throw new TypeError(`the flag has no value: ${name}`);
    return setting;
  }
}
