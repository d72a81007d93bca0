// One change of users and roles while it is made: the state that it works on, and the writes that it comes to.

import { Buffer } from "node:buffer";
import type { MetaWrite } from "../native/binding.js";
import {
  type AuthRows,
  decodeRole,
  decodeUser,
  enabledWrite,
  encodeRole,
  encodeUser,
  type Role,
  revisionWrite,
  roleWrite,
  type User,
  userWrite,
} from "./rows.js";

/** What a change does to tokens, on every member. */
export type TokenEffect =
  | { readonly kind: "none" }
  | { readonly kind: "forgetUser"; readonly user: string }
  | { readonly kind: "forgetAll" }
  /** A login of this user is good at this auth revision. */
  | { readonly kind: "login"; readonly user: string; readonly prefix: string; readonly revision: number };

export class Draft {
  readonly writes: MetaWrite[] = [];
  tokens: TokenEffect = { kind: "none" };

  constructor(private readonly rows: AuthRows) {}

  get enabled(): boolean {
    return this.rows.enabled;
  }

  get revision(): number {
    return this.rows.revision;
  }

  user(name: string): User | null {
    const row = this.rows.users.get(name);
    return row ? decodeUser(row) : null;
  }

  /** Those who have a role. Only rows that hold its name are decoded: there may be many users, and everybody waits. */
  usersWith(role: string): User[] {
    const name = Buffer.from(role);
    const rows = [...this.rows.users.values()].filter((row) =>
      Buffer.from(row.buffer, row.byteOffset, row.length).includes(name),
    );
    return rows.map(decodeUser).filter(({ roles }) => roles.includes(role));
  }

  role(name: string): Role | null {
    const row = this.rows.roles.get(name);
    return row ? decodeRole(row) : null;
  }

  putUser(user: User): void {
    const row = encodeUser(user);
    this.rows.users.set(user.name, row);
    this.writes.push(userWrite(user.name, row));
  }

  deleteUser(name: string): void {
    this.rows.users.delete(name);
    this.writes.push(userWrite(name, null));
  }

  putRole(role: Role): void {
    const row = encodeRole(role);
    this.rows.roles.set(role.name, row);
    this.writes.push(roleWrite(role.name, row));
  }

  deleteRole(name: string): void {
    this.rows.roles.delete(name);
    this.writes.push(roleWrite(name, null));
  }

  setEnabled(enabled: boolean): void {
    this.rows.enabled = enabled;
    // Etcd has had the revision in its store since the first boot; here it comes with the first change.
    this.writes.push(enabledWrite(enabled), revisionWrite(this.rows.revision));
  }

  /** Identities of before are old from now on. */
  advance(): void {
    this.rows.revision += 1;
    this.writes.push(revisionWrite(this.rows.revision));
  }
}
