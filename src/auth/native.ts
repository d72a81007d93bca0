// What auth needs of the data plane's handle `auth` (src/native/binding.ts).

import type { NativeStatus } from "../native/binding.js";

export type { Caller } from "../native/binding.js";

export interface NativeAuth {
  /** The identity behind a token, which is renewed by that; null: not known here. */
  identify(token: string): { user: string; revision: number } | null;
  /** Registers a token. revision null: always the current one (simple tokens); ttlMs null: no end. */
  register(token: string, user: string, revision: number | null, ttlMs: number | null, renewed: boolean): void;
  forgetUser(user: string): void;
  forgetAll(): void;
  /** The answer to `identify`: null = look again, it is registered now; else the error of the call. */
  identified(ask: number, error: NativeStatus | null): void;
}
