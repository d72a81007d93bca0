// The permissions of a role as a list in order of their keys, as etcd keeps them.

import { Buffer } from "node:buffer";
import type { Permission } from "./rows.js";

/** As the end of a range: all keys from its begin on. */
const OPEN_END = Buffer.of(0);

/** Whether a permission may be granted on this range: not empty, and not backwards. */
export function isGrantable(key: Uint8Array, rangeEnd: Uint8Array): boolean {
  if (key.length === 0) return false;
  return rangeEnd.length === 0 || OPEN_END.equals(rangeEnd) || Buffer.compare(key, rangeEnd) < 0;
}

const isOn = ({ key, rangeEnd }: Permission, of: Pick<Permission, "key" | "rangeEnd">) =>
  Buffer.compare(key, of.key) === 0 && Buffer.compare(rangeEnd, of.rangeEnd) === 0;

/**
 * The list with this permission: in the place of the one on exactly the same range, else behind those of its key. Etcd
 * finds the same range only as the first of its key, and else leaves a right that was to be taken away.
 */
export function granted(list: readonly Permission[], permission: Permission): Permission[] {
  if (list.some((other) => isOn(other, permission))) {
    return list.map((other) => (isOn(other, permission) ? permission : other));
  }
  const behind = list.findIndex(({ key }) => Buffer.compare(key, permission.key) > 0);
  return list.toSpliced(behind < 0 ? list.length : behind, 0, permission);
}

/** The list without what is on exactly this range. */
export function revoked(list: readonly Permission[], range: Pick<Permission, "key" | "rangeEnd">): Permission[] {
  return list.filter((other) => !isOn(other, range));
}
