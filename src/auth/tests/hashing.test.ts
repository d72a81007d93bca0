// bcrypt in its threads, against hashes that an etcd 3.7.3 made.

import { afterAll, expect, test } from "vitest";
import { HashingThreads } from "../hashing.js";

const unexpected = (error: Error) => {
  throw error;
};
const threads = new HashingThreads(unexpected);
afterAll(() => threads.stop());

const ETCDS_HASH = "$2a$10$B6zlLumfSmo7qwSW57DHruybuTKKYYuqmzLUnyJoiS7imInDYSW9q";

test("a hash of etcd's is that of its password, and of no other", async () => {
  expect(await threads.verify(Buffer.from("rootpw"), ETCDS_HASH)).toBe(true);
  expect(await threads.verify(Buffer.from("rootpx"), ETCDS_HASH)).toBe(false);
});

test("hashes are named as etcd's, have the cost that was asked for, and are never the same", async () => {
  const hashes = await Promise.all([1, 2].map(() => threads.hash(Buffer.from("p"), 5)));
  for (const hash of hashes) {
    expect(hash).toMatch(/^\$2a\$05\$[./A-Za-z0-9]{53}$/);
    expect(await threads.verify(Buffer.from("p"), hash)).toBe(true);
  }
  expect(hashes[0]).not.toBe(hashes[1]);
});

test("the empty password is one, zeros count, and what comes after 72 bytes does not", async () => {
  const empty = await threads.hash(Buffer.alloc(0), 4);
  expect(await threads.verify(Buffer.alloc(0), empty)).toBe(true);
  expect(await threads.verify(Buffer.from("a"), empty)).toBe(false);
  const zeros = await threads.hash(Buffer.from("a\0b"), 4);
  expect(await threads.verify(Buffer.from("a\0b"), zeros)).toBe(true);
  expect(await threads.verify(Buffer.from("a"), zeros)).toBe(false);
  expect(await threads.verify(Buffer.from("a\0c"), zeros)).toBe(false);
  const long = await threads.hash(Buffer.alloc(72, "x"), 4);
  expect(await threads.verify(Buffer.alloc(300, "x"), long)).toBe(true);
  expect(await threads.verify(Buffer.alloc(71, "x"), long)).toBe(false);
});

test("what is no hash is that of no password", async () => {
  for (const hash of ["", "x", "$2a$04$short", ETCDS_HASH.slice(0, -1), `$2a$10$${".".repeat(53)}`]) {
    expect(await threads.verify(Buffer.from("rootpw"), hash), hash).toBe(false);
    expect(await threads.verify(Buffer.alloc(0), hash), hash).toBe(false);
  }
});

test("nothing is hashed once the threads have ended", async () => {
  const ended = new HashingThreads(unexpected);
  expect(await ended.verify(Buffer.from("x"), "x")).toBe(false);
  await ended.stop();
  await expect(ended.hash(Buffer.from("x"), 4)).rejects.toThrow("have ended");
  const unused = new HashingThreads(unexpected);
  await unused.stop();
});
