// Raft messages as they go over the links: a header, beside which the payloads of entries travel
// (native/front/src/peer/frame.rs), so a message that carries a thousand requests has a header of a hundred bytes. Sender
// and receiver are those of the link. Appends, heartbeats and their answers are numbers in fixed places, because the data
// plane reads and writes them too (native/engine/src/pipeline/message.rs); all others are UTF-8 JSON.

import type { EntryMeta, PayloadHandle } from "../native/binding.js";
import type { MemberId, Message } from "../raft/index.js";
import { decodeJson, encodeJson } from "./commands.js";

/** Version of the JSON headers; members of another version do not understand each other. */
const version = 1;

/** The first byte of a header. */
const tags = { append: 1, appendResponse: 2, heartbeat: 3, heartbeatResponse: 4 } as const;
const jsonStart = "{".charCodeAt(0);
/** The longest header of numbers. */
const numbersBytesMax = 34;

/** What of an entry is not beside the header. */
interface ForwardedEntry {
  leavesJoint: boolean;
}

export function encodeMessage(message: Message): Uint8Array {
  switch (message.type) {
    case "append":
      return numbers(tags.append, message.term, message.prevIndex, message.prevTerm, message.commit);
    case "appendResponse": {
      const { term, index, reject, hintIndex, hintTerm } = message;
      return numbers(tags.appendResponse, term, index, reject, hintIndex, hintTerm);
    }
    case "heartbeat":
      return numbers(tags.heartbeat, message.term, message.commit, message.readSeq);
    case "heartbeatResponse":
      return numbers(tags.heartbeatResponse, message.term, message.readSeq);
    default:
      return encodeOther(message);
  }
}

function encodeOther(message: Message): Uint8Array {
  const { from: _from, to: _to, ...rest } = message;
  if (rest.type === "propose") {
    const entries: ForwardedEntry[] = rest.entries.map(({ leavesJoint }) => ({ leavesJoint }));
    return encodeJson({ v: version, ...rest, entries });
  }
  return encodeJson({ v: version, ...rest });
}

/** Numbers of eight bytes and booleans of one, little endian. */
function numbers(tag: number, ...fields: (number | boolean)[]): Uint8Array {
  const bytes = new Uint8Array(numbersBytesMax);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, tag);
  let at = 1;
  for (const field of fields) {
    if (typeof field === "boolean") {
      view.setUint8(at, field ? 1 : 0);
      at += 1;
    } else {
      view.setUint32(at, field >>> 0, true);
      view.setUint32(at + 4, Math.floor(field / 2 ** 32), true);
      at += 8;
    }
  }
  return bytes.subarray(0, at);
}

/** Takes the fields out of a header in the order in which `numbers` put them in. */
class Fields {
  #at = 1;
  readonly #view: DataView;

  constructor(header: Uint8Array) {
    this.#view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  }

  number(): number {
    const low = this.#view.getUint32(this.#at, true);
    const high = this.#view.getUint32(this.#at + 4, true);
    this.#at += 8;
    return high * 2 ** 32 + low;
  }

  boolean(): boolean {
    this.#at += 1;
    return this.#view.getUint8(this.#at - 1) !== 0;
  }
}

/** @throws Error for a header that encodeMessage of this version did not write */
export function decodeMessage(
  header: Uint8Array,
  from: MemberId,
  to: MemberId,
  metas: readonly EntryMeta[],
  payloads: readonly PayloadHandle[],
): Message {
  const tag = header[0];
  if (tag === jsonStart) return decodeOther(header, from, to, metas, payloads);
  const fields = new Fields(header);
  const term = fields.number();
  const envelope = { from, to, term };
  switch (tag) {
    case tags.append: {
      const [prevIndex, prevTerm, commit] = [fields.number(), fields.number(), fields.number()];
      const entries = metas.map((meta, at) => ({ ...meta, payload: payloads[at] ?? 0 }));
      return { type: "append", ...envelope, prevIndex, prevTerm, commit, entries };
    }
    case tags.appendResponse: {
      const [index, reject] = [fields.number(), fields.boolean()];
      const [hintIndex, hintTerm] = [fields.number(), fields.number()];
      return { type: "appendResponse", ...envelope, index, reject, hintIndex, hintTerm };
    }
    case tags.heartbeat:
      return { type: "heartbeat", ...envelope, commit: fields.number(), readSeq: fields.number() };
    case tags.heartbeatResponse:
      return { type: "heartbeatResponse", ...envelope, readSeq: fields.number() };
    default:
      throw new Error(`peer ${from.toString(16)} sent a message of unknown kind ${tag}`);
  }
}

function decodeOther(
  header: Uint8Array,
  from: MemberId,
  to: MemberId,
  metas: readonly EntryMeta[],
  payloads: readonly PayloadHandle[],
): Message {
  const { v, ...rest } = decodeJson(header) as { v: number } & Omit<Message, "from" | "to">;
  if (v !== version) throw new Error(`peer ${from.toString(16)} speaks version ${v} of the protocol`);
  const message = { ...rest, from, to } as Message;
  if (message.type === "propose") {
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
