// Who is in the cluster and which version it runs: state that raft entries change and the store keeps.

import type { MetaRow, MetaWrite } from "../native/binding.js";
import { decodeMember, encodeMember, type Member } from "./member.js";

/** Downgrade of the cluster that is under way. */
export interface Downgrade {
  readonly enabled: boolean;
  readonly targetVersion: string;
}

const CLUSTER_VERSION = Buffer.from("cluster-version");
const REMOVED = Buffer.from("removed");

/**
 * The cluster as the entries applied so far made it. Every change returns the writes that make it last; they go to
 * the store with the entry that made the change.
 */
export class Membership {
  readonly clusterId: bigint;
  readonly #members = new Map<bigint, Member>();
  /** Ids never come back: a removed member must not rejoin with its old data. */
  readonly #removed = new Set<bigint>();
  #clusterVersion: string | null = null;
  /** Cancelled as long as no entry can begin one: commands for that are refused. */
  readonly downgrade: Downgrade = { enabled: false, targetVersion: "" };
  #decide: () => void = () => {};
  /** Resolves once the cluster has a version; clients are served no earlier. */
  readonly versionDecided = new Promise<void>((resolve) => {
    this.#decide = resolve;
  });

  constructor(clusterId: bigint) {
    this.clusterId = clusterId;
  }

  /** What a restart finds in the store. Throws if a row is damaged. */
  static restore(clusterId: bigint, rows: readonly MetaRow[]): Membership {
    const membership = new Membership(clusterId);
    membership.replace(rows);
    return membership;
  }

  /** The rows of another store take the place of everything. Throws if one is damaged. */
  replace(rows: readonly MetaRow[]): void {
    this.#members.clear();
    this.#removed.clear();
    this.#clusterVersion = null;
    for (const row of rows) {
      const key = Buffer.from(row.key);
      if (row.table === "members") {
        if (Buffer.from(row.value).equals(REMOVED)) this.#removed.add(key.readBigUInt64BE(0));
        else this.#put(decodeMember(row.value));
      } else if (row.table === "meta" && key.equals(CLUSTER_VERSION)) {
        this.#clusterVersion = Buffer.from(row.value).toString();
        this.#decide();
      }
    }
  }

  /** All members, ascending by id. */
  members(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** null: there is none of that id, or no longer. */
  member(id: bigint): Member | null {
    return this.#members.get(id) ?? null;
  }

  /** All but the learners, ascending by id. */
  voters(): readonly Member[] {
    return this.members().filter((member) => !member.isLearner);
  }

  /** Ids of the members that were removed. */
  removed(): bigint[] {
    return [...this.#removed];
  }

  isRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  /** `X.Y.0`; null until the cluster has decided. */
  get clusterVersion(): string | null {
    return this.#clusterVersion;
  }

  /** Adds a member, or changes the peer URLs or the role of one that is there. */
  put(member: Member): MetaWrite[] {
    this.#put(member);
    return [{ table: "members", key: memberKey(member.id), value: encodeMember(member) }];
  }

  /** Removes a member for good: its id does not come back. */
  remove(id: bigint): MetaWrite[] {
    this.#members.delete(id);
    this.#removed.add(id);
    return [{ table: "members", key: memberKey(id), value: REMOVED }];
  }

  /** What a member publishes of itself. A member that was removed meanwhile stays removed. */
  setAttributes(id: bigint, name: string, clientUrls: readonly string[]): MetaWrite[] {
    const member = this.#members.get(id);
    return member ? this.put({ ...member, name, clientUrls }) : [];
  }

  /** `version`: `X.Y.0`. */
  setClusterVersion(version: string): MetaWrite[] {
    this.#clusterVersion = version;
    this.#decide();
    return [{ table: "meta", key: CLUSTER_VERSION, value: Buffer.from(version) }];
  }

  #put(member: Member): void {
    this.#members.set(member.id, member);
  }
}

function memberKey(id: bigint): Uint8Array {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(id);
  return key;
}
