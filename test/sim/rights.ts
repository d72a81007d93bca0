// Users and roles of a simulated member: the real rules, moved by entries of the log. What a member decides by, and what
// its store holds, must be the same after every entry.

import {
  type AuthCommand,
  decodeCommand,
  encodeCommand,
  type RequestFields,
  type RequestName,
} from "../../src/auth/requests.js";
import { AuthStore } from "../../src/auth/store.js";
import type { Caller, MetaRow } from "../../src/native/binding.js";
import type { ControlOutcome } from "../../src/replica/commands.js";
import { Violation } from "./checks.js";
import type { Random } from "./random.js";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export class Rights {
  readonly #store: AuthStore;

  /** `changed`: an entry changed something. */
  constructor(
    rows: readonly MetaRow[],
    private readonly changed: () => void,
  ) {
    this.#store = new AuthStore(rows, silent);
  }

  apply(command: AuthCommand): ControlOutcome {
    const { error, writes } = this.#store.apply(decodeCommand(command), command.caller);
    if (writes.length > 0) this.changed();
    return { result: error, writes };
  }

  /** Another member's store takes the place of the own one. True: users or roles are others by that. */
  replace(rows: readonly MetaRow[]): boolean {
    const before = this.#store.revision;
    this.#store.replace(rows);
    return this.#store.revision !== before;
  }

  /** Throws unless the rows of the store are what is decided by. */
  check(member: bigint, index: number, rows: readonly MetaRow[]): void {
    const [own, stored] = [describe(this.#store), describe(new AuthStore(rows, silent))];
    if (own !== stored) throw new Violation(`${member} has two tables of users at ${index}: ${own}; ${stored}`);
  }

  /** Root as this member knows him; sometimes somebody who may change nothing while authentication is on. */
  caller(random: Random): Caller {
    const user = random.chance(0.8) ? "root" : "app";
    return this.#store.enabled ? { user, revision: this.#store.revision } : null;
  }
}

function describe(store: AuthStore): string {
  const users = store.userNames().map((name) => [name, store.user(name)]);
  const roles = store.roleNames().map((name) => [name, store.role(name)]);
  return JSON.stringify({ enabled: store.enabled, revision: store.revision, users, roles });
}

type Draft = <K extends RequestName>(name: K, request: RequestFields<K>) => AuthCommand;

/** Some changes, one after the other: often those that switch authentication on come first. */
export function drawChanges(random: Random, caller: Caller): AuthCommand[] {
  const change: Draft = (name, request) => encodeCommand(name, request, caller);
  const first = [
    change("userAdd", { name: "root", options: { noPassword: true } }),
    change("userGrantRole", { user: "root", role: "root" }),
    change("authEnable", {}),
  ];
  const more = Array.from({ length: 1 + random.below(12) }, () => drawChange(random, change));
  return random.chance(0.5) ? [...first, ...more] : more;
}

function drawChange(random: Random, change: Draft): AuthCommand {
  const [user, role] = [random.pick(["root", "app"]), random.pick(["root", "app", "other"])];
  const [key, rangeEnd] = random
    .pick(["a", "b", "ac"])
    .split("")
    .map((text) => Buffer.from(text)) as [Buffer, Buffer?];
  const range = { key, ...(rangeEnd === undefined ? {} : { rangeEnd }) };
  const perm = { permType: random.below(3), ...range };
  const changes = [
    () => change("authEnable", {}),
    () => change("authDisable", {}),
    () => change("userAdd", { name: user, hashedPassword: Buffer.from(`hash of ${user}`).toString("base64") }),
    () => change("userDelete", { name: user }),
    () =>
      change("userChangePassword", { name: user, hashedPassword: Buffer.from(`${random.next()}`).toString("base64") }),
    () => change("userGrantRole", { user, role }),
    () => change("userGrantRole", { user, role }),
    () => change("userRevokeRole", { name: user, role }),
    () => change("roleAdd", { name: role }),
    () => change("roleAdd", { name: role }),
    () => change("roleDelete", { role }),
    () => change("roleGrantPermission", { name: role, perm }),
    () => change("roleGrantPermission", { name: role, perm }),
    () => change("roleRevokePermission", { role, ...range }),
  ];
  return random.pick(changes)();
}
