// Control entries: what they hold, how they are encoded, and who applies them.
//
// Encoding (the payload of EntryKind.Control and EntryKind.ConfChange): UTF-8 JSON of
//   { "v": 1, "origin": string, "request": number, "body": … }
// where a bigint is { "$id": "<decimal>" }. `origin` names the process that proposed, drawn at its start, so that only
// it answers the caller. An empty payload of kind ConfChange leaves the joint configuration (raft proposes it itself).

import type { Caller, MetaWrite } from "../native/binding.js";
import type { ConfChange, ConfState } from "../raft/index.js";
import type { ReplicaError } from "./errors.js";

/** Control-plane writes that go through the log. Every type has one handler, given by the composition root. */
export type ControlCommand =
  | { type: "memberAttributes"; id: bigint; name: string; clientUrls: string[] }
  | { type: "memberUpdate"; id: bigint; peerUrls: string[] }
  | { type: "clusterVersion"; version: string }
  | { type: "downgrade"; enabled: boolean; targetVersion: string }
  | { type: "alarm"; action: "activate" | "deactivate"; memberId: bigint; alarm: number }
  /**
   * A change of users and roles, or a login: `body` is the base64 of the encoded request that `request` names. The
   * caller of a login is who logs in, with the auth revision at which the password was checked.
   */
  | { type: "auth"; request: string; body: string; caller: Caller };

/** What applying an entry comes to. Must be the same on every member. */
export interface ControlOutcome {
  /** Handed to the caller of proposeControl on the member that proposed. */
  result: unknown;
  /** Control-plane state, stored in one transaction with the applied index. */
  writes: MetaWrite[];
}

export interface ApplyMark {
  index: number;
  term: number;
}

export type ControlHandlers = {
  [T in ControlCommand["type"]]: (command: Extract<ControlCommand, { type: T }>, mark: ApplyMark) => ControlOutcome;
};

/** A conf change as it stands in the log: raft's part, and what the cluster must know of the members. */
export interface MembershipChange {
  change: ConfChange;
  /** Opaque here: names and URLs of a new member, as the cluster module defines them. JSON values and bigints. */
  context: unknown;
}

export interface MembershipHandler {
  /** Before raft takes the change: an error refuses it, on every member alike. */
  check(change: MembershipChange): ReplicaError | null;
  /** The configuration is in force. */
  applied(change: MembershipChange, confState: ConfState, mark: ApplyMark): ControlOutcome;
}

interface Envelope<B> {
  v: 1;
  origin: string;
  request: number;
  body: B;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function writeIds(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? { $id: value.toString() } : value;
}

function readIds(_key: string, value: unknown): unknown {
  if (typeof value === "object" && value !== null && "$id" in value) {
    return BigInt((value as { $id: string }).$id);
  }
  return value;
}

/** JSON with bigints, as it is on disk. */
export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value, writeIds));
}

/** @throws SyntaxError for bytes that encodeJson did not write */
export function decodeJson(data: Uint8Array): unknown {
  const text = decoder.decode(data);
  // A reviver is called for every value and takes three times the CPU; most messages of peers hold no id.
  return text.includes('"$id"') ? JSON.parse(text, readIds) : JSON.parse(text);
}

export function encodeEnvelope(origin: string, request: number, body: unknown): Uint8Array {
  return encodeJson({ v: 1, origin, request, body });
}

export function decodeEnvelope<B>(data: Uint8Array): Envelope<B> {
  const envelope = decodeJson(data) as Envelope<B>;
  if (envelope.v !== 1) throw new Error(`unknown version ${envelope.v} of a control entry`);
  return envelope;
}

const confStateKey = encoder.encode("raft/confState");

/** The configuration is stored with the applied index, so that a restart has the one that was in force there. */
export function confStateWrite(state: ConfState): MetaWrite {
  return { table: "meta", key: confStateKey, value: encodeJson(state) };
}

export function isConfStateKey(key: Uint8Array): boolean {
  return key.length === confStateKey.length && key.every((byte, at) => byte === confStateKey[at]);
}
