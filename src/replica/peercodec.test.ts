import { expect, test } from "vitest";
import type { Message } from "../raft/index.js";
import { decodeMessage, encodeMessage } from "./peercodec.js";

const envelope = { from: 2n, to: 1n, term: 3 };

/** The same bytes stand in native/engine/src/pipeline/message.rs. */
test("an append has the bytes that the data plane reads", () => {
  const append: Message = { type: "append", ...envelope, prevIndex: 258, prevTerm: 2, commit: 257, entries: [] };
  const hex = Buffer.from(encodeMessage(append)).toString("hex");
  expect(hex).toBe(["01", "0300000000000000", "0201000000000000", "0200000000000000", "0101000000000000"].join(""));
});

const big = 2 ** 48 + 7;
const messages: Message[] = [
  { type: "append", ...envelope, prevIndex: big, prevTerm: 2, commit: big - 1, entries: [] },
  { type: "appendResponse", ...envelope, index: big, reject: true, hintIndex: 4, hintTerm: big },
  { type: "appendResponse", ...envelope, index: 0, reject: false, hintIndex: 0, hintTerm: 0 },
  { type: "heartbeat", ...envelope, commit: 9, readSeq: big },
  { type: "heartbeatResponse", ...envelope, readSeq: big },
  { type: "vote", ...envelope, lastIndex: 7, lastTerm: 2, transfer: false },
  { type: "readIndexResponse", ...envelope, context: big, index: 5 },
];

test.each(messages)("a message is read as it was written: $type", (message) => {
  expect(decodeMessage(encodeMessage(message), 2n, 1n, [], [])).toEqual(message);
});

test("entries come from beside the header", () => {
  const append: Message = { type: "append", ...envelope, prevIndex: 1, prevTerm: 1, commit: 1, entries: [] };
  const metas = [{ index: 2, term: 3, kind: 1 as const, bytes: 10 }];
  const read = decodeMessage(encodeMessage(append), 2n, 1n, metas, [77]);
  expect(read).toEqual({ ...append, entries: [{ ...metas[0], payload: 77 }] });
});

test("a message of no known kind is refused", () => {
  const other = new Uint8Array(9).fill(9);
  expect(() => decodeMessage(other, 2n, 1n, [], [])).toThrow("peer 2 sent a message of unknown kind 9");
});
