// The value of --auth-token: a type and, separated by commas, options with one `=` each.

import type { Logger } from "../log/logger.js";

/** The member cannot start with this; the text is etcd's where etcd has one. */
export class AuthOptionsError extends Error {}

export const invalidOptions = () => new AuthOptionsError("auth: invalid auth options");

/** Throws AuthOptionsError. */
export function decomposeOptions(text: string, log: Logger): { type: string; values: ReadonlyMap<string, string> } {
  const [type = "", ...options] = text.split(",");
  const values = new Map<string, string>();
  for (const option of options) {
    const [name = "", value, ...more] = option.split("=");
    const isRepeated = values.has(name);
    if (value === undefined || more.length > 0 || isRepeated) {
      log.error("invalid token option", { option: text, ...(isRepeated ? { "duplicate-parameter": name } : {}) });
      throw invalidOptions();
    }
    values.set(name, value);
  }
  return { type, values };
}
