// 64-bit integers between the generated protobuf code (Long objects) and everything else (bigint and number).

import Long from "long";

/** A uint64 field: ids, terms, indices. */
export function toUint64(value: bigint | number): Long {
  return Long.fromBigInt(BigInt(value), true);
}

/** An int64 field: revisions, TTLs, sizes. */
export function toInt64(value: bigint | number): Long {
  return Long.fromBigInt(BigInt(value), false);
}

export function toBigint(value: Long): bigint {
  return value.toBigInt();
}
