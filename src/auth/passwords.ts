// Passwords against their hashes. bcrypt is slow on purpose, so the same is never asked twice: what was found right is
// remembered, and who asks while the same is being found out waits for that answer.

import { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { rpcError } from "../errors.js";
import { limits } from "../limits.js";
import type { Hashing } from "./hashing.js";
import { Lanes } from "./lanes.js";
import type { User } from "./rows.js";

/** bcrypt looks at no more; etcd refuses longer passwords when they are set. */
const PASSWORD_BYTES_MAX = 72;

const COST_MIN = 4;
const COST_MAX = 31;
const COST_DEFAULT = 10;

/** The cost that hashes are made with; etcd takes its default for one that there is not. */
export function bcryptCost(given: number): { cost: number; isGiven: boolean } {
  const isGiven = given >= COST_MIN && given <= COST_MAX;
  return { cost: isGiven ? given : COST_DEFAULT, isGiven };
}

export const bcryptCosts = { min: COST_MIN, max: COST_MAX, default: COST_DEFAULT } as const;

/** The hash of no password at all: to compare with it takes as long as with any other of its cost. */
const hashOfNothing = (cost: number) => `$2a$${String(cost).padStart(2, "0")}$${".".repeat(53)}`;

/** The lane of what an operator asks for. */
const SETTING_LANE = "";

export class Passwords {
  readonly #cost: number;
  readonly #lanes: Lanes;
  /** Names pairs without telling them; of this process alone. */
  readonly #secret = randomBytes(32);
  /** Pairs that were found right, the least recently asked for first, with their users. */
  readonly #verified = new Map<string, string>();
  /** Pairs that are being compared. */
  readonly #comparing = new Map<string, Promise<boolean>>();
  #hashings = 0;
  #remembered = 0;

  constructor(
    private readonly hashing: Hashing,
    cost: number,
  ) {
    this.#cost = cost;
    this.#lanes = new Lanes(hashing.width);
  }

  /** bcrypt's hash of a new password. Rejects with an RpcError. */
  async hash(password: string): Promise<string> {
    const bytes = Buffer.from(password);
    if (bytes.length > PASSWORD_BYTES_MAX) throw rpcError("passwordTooLong");
    return this.#lanes.run(SETTING_LANE, () => {
      this.#hashings += 1;
      return this.hashing.hash(bytes, this.#cost);
    });
  }

  /**
   * Whether this is the user's password. Takes as long for who has none (null: no such user) as for a wrong one. The
   * lane is the address that asks. Rejects with tooManyRequests.
   */
  async verify(user: User | null, name: string, password: string, lane: string): Promise<boolean> {
    const hasPassword = user !== null && !user.noPassword && user.password.length > 0;
    const hash = hasPassword ? Buffer.from(user.password).toString("latin1") : hashOfNothing(this.#cost);
    const pair = this.#pairName(name, hash, password);
    if (this.#verified.delete(pair)) {
      this.#verified.set(pair, name);
      this.#remembered += 1;
      return hasPassword;
    }
    const isRight = await (this.#comparing.get(pair) ?? this.#compare(name, pair, Buffer.from(password), hash, lane));
    return isRight && hasPassword;
  }

  async #compare(name: string, pair: string, password: Uint8Array, hash: string, lane: string): Promise<boolean> {
    const comparing = this.#lanes.run(lane, () => {
      this.#hashings += 1;
      return this.hashing.verify(password, hash);
    });
    this.#comparing.set(pair, comparing);
    // If the user is changed meanwhile it is not in the map any more, and nothing is remembered.
    const isCurrent = () => this.#comparing.get(pair) === comparing;
    try {
      const isRight = await comparing;
      if (isRight && isCurrent()) this.#remember(name, pair);
      return isRight;
    } finally {
      if (isCurrent()) this.#comparing.delete(pair);
    }
  }

  #remember(name: string, pair: string): void {
    this.#verified.set(pair, name);
    const [oldest] = this.#verified.keys();
    if (this.#verified.size > limits.verifiedPasswordsMax && oldest !== undefined) this.#verified.delete(oldest);
  }

  /** The user was changed or deleted. */
  forget(name: string): void {
    for (const [pair, user] of this.#verified) if (user === name) this.#verified.delete(pair);
    // Its name is not in the pairs that are being compared, so none of those is remembered.
    this.#comparing.clear();
  }

  forgetAll(): void {
    this.#verified.clear();
    this.#comparing.clear();
  }

  /** Lengths are part of it, so that no two pairs have one name. */
  #pairName(name: string, hash: string, password: string): string {
    return createHmac("sha256", this.#secret)
      .update(JSON.stringify([name, hash, password]))
      .digest("base64");
  }

  /** Passwords that bcrypt hashed or compared. */
  get hashings(): number {
    return this.#hashings;
  }

  /** Those that were known to be right. */
  get remembered(): number {
    return this.#remembered;
  }

  async stop(): Promise<void> {
    this.forgetAll();
    await this.hashing.stop();
  }
}
