// Raft messages as they go over the links: a header of UTF-8 JSON. Sender and receiver are those of the link, and
// payloads of entries travel beside the header (native/front/src/peer/frame.rs), so a message that carries a thousand
// requests has a header of a hundred bytes.

import type { EntryMeta, PayloadHandle } from "../native/binding.js";
import type { MemberId, Message } from "../raft/index.js";
import { decodeJson, encodeJson } from "./commands.js";

/** Version of the header's format; members of another version do not understand each other. */
const version = 1;

/** What of an entry is not beside the header. */
interface ForwardedEntry {
  leavesJoint: boolean;
}

export function encodeMessage(message: Message): Uint8Array {
  const { from: _from, to: _to, ...rest } = message;
  if (rest.type === "append") return encodeJson({ v: version, ...rest, entries: null });
  if (rest.type === "propose") {
    const entries: ForwardedEntry[] = rest.entries.map(({ leavesJoint }) => ({ leavesJoint }));
    return encodeJson({ v: version, ...rest, entries });
  }
  return encodeJson({ v: version, ...rest });
}

/** @throws Error for a header that encodeMessage of this version did not write */
export function decodeMessage(
  header: Uint8Array,
  from: MemberId,
  to: MemberId,
  metas: readonly EntryMeta[],
  payloads: readonly PayloadHandle[],
): Message {
  const { v, ...rest } = decodeJson(header) as { v: number } & Omit<Message, "from" | "to">;
  if (v !== version) throw new Error(`peer ${from.toString(16)} speaks version ${v} of the protocol`);
  const message = { ...rest, from, to } as Message;
  if (message.type === "append") {
    message.entries = metas.map((meta, at) => ({ ...meta, payload: payloads[at] ?? 0 }));
  } else if (message.type === "propose") {
    const forwarded = message.entries as readonly ForwardedEntry[];
    message.entries = metas.map(({ kind, bytes }, at) => ({
      kind,
      bytes,
      payload: payloads[at] ?? 0,
      leavesJoint: forwarded[at]?.leavesJoint ?? false,
    }));
  }
  return message;
}
