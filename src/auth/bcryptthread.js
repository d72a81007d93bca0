// What a thread of the pool in hashing.ts runs. Plain JavaScript, as a thread starts with a file that Node can run where
// it lies, in src as well as in dist; `npm run build` copies it.

import bcrypt from "@node-rs/bcrypt";

/** Later bytes do not count in bcrypt, and the library's own word on them is not relied upon. */
const PASSWORD_BYTES_MAX = 72;

/**
 * With a hash: whether it is that of the password. Without: the password's hash, named as etcd's library names it. The
 * two names stand for the same function; they differ in what old libraries did wrong.
 *
 * @param {{ password: Uint8Array, hash: string | null, cost: number }} task
 * @returns {boolean | string}
 */
export default function work({ password, hash, cost }) {
  const counted = Buffer.from(password.subarray(0, PASSWORD_BYTES_MAX));
  if (hash !== null) return bcrypt.verifySync(counted, hash);
  return bcrypt.hashSync(counted, cost).replace(/^\$2[by]\$/, "$2a$");
}
