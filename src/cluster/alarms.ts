// Alarms of the members: state that raft entries change and the store keeps.

import type { MetaRow, MetaWrite } from "../native/binding.js";

/** Numbers of the AlarmType enum of the wire. Others come from clients too, and are alarms like these, as with etcd. */
export const AlarmType = { None: 0, NoSpace: 1, Corrupt: 2 } as const;

const NAMES: Readonly<Record<number, string>> = {
  [AlarmType.None]: "NONE",
  [AlarmType.NoSpace]: "NOSPACE",
  [AlarmType.Corrupt]: "CORRUPT",
};

export interface Alarm {
  readonly memberId: bigint;
  /** A number of AlarmType, or any other that fits into 32 bits. */
  readonly type: number;
}

/** Name of an alarm as etcd prints it. */
export function alarmName(type: number): string {
  return NAMES[type] ?? "UNKNOWN";
}

/** The alarms that are set, by the entries applied so far. */
export class Alarms {
  readonly #set = new Map<string, Alarm>();

  /** What a restart finds in the store. Throws RangeError if a row is damaged. */
  static restore(rows: readonly MetaRow[]): Alarms {
    const alarms = new Alarms();
    alarms.replace(rows);
    return alarms;
  }

  /** The rows of another store take the place of everything. */
  replace(rows: readonly MetaRow[]): void {
    this.#set.clear();
    for (const row of rows) {
      if (row.table !== "alarms") continue;
      const key = Buffer.from(row.key);
      this.activate({ memberId: key.readBigUInt64BE(0), type: key.readInt32BE(8) });
    }
  }

  /** Those of one type, or all; ascending by member. */
  list(type: number = AlarmType.None): readonly Alarm[] {
    return [...this.#set.values()]
      .filter((alarm) => type === AlarmType.None || alarm.type === type)
      .sort((a, b) => (a.memberId < b.memberId ? -1 : a.memberId > b.memberId ? 1 : a.type - b.type));
  }

  has(type: number): boolean {
    return this.list(type).length > 0;
  }

  /** Sets an alarm; returns the writes that make it last. None is no alarm, though logs and stores of before have it. */
  activate(alarm: Alarm): MetaWrite[] {
    if (alarm.type === AlarmType.None) return [];
    this.#set.set(keyOf(alarm).toString("hex"), alarm);
    return [{ table: "alarms", key: keyOf(alarm), value: new Uint8Array() }];
  }

  /** Clears an alarm; returns the writes that make it last, none if it was not set. */
  deactivate(alarm: Alarm): MetaWrite[] {
    if (!this.#set.delete(keyOf(alarm).toString("hex"))) return [];
    return [{ table: "alarms", key: keyOf(alarm), value: null }];
  }
}

/** Member id and type, big endian. */
function keyOf(alarm: Alarm): Buffer {
  const key = Buffer.alloc(12);
  key.writeBigUInt64BE(alarm.memberId, 0);
  key.writeInt32BE(alarm.type, 8);
  return key;
}
