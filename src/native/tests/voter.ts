// Raft with one voter over the real addon, for tests of the boundary.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterEach } from "vitest";
import {
  type Caller,
  type EngineOptions,
  EntryKind,
  type MetaWrite,
  type NativeEvent,
  type OpKind,
  type Recovered,
} from "../binding.js";
import { Engine } from "../engine.js";
import { loadBinding } from "../load.js";
import { NativeServer } from "../server.js";

export const binding = loadBinding();
const directories: string[] = [];
const running = new Set<Voter>();

export function directory(): string {
  const made = mkdtempSync(join(tmpdir(), "netcd-addon-"));
  directories.push(made);
  return made;
}

afterEach(async () => {
  for (const voter of running) await voter.close();
  for (const made of directories.splice(0)) rmSync(made, { recursive: true });
});

export function options(dir: string, changes: Partial<EngineOptions> = {}): EngineOptions {
  return {
    memberDir: join(dir, "member"),
    walDir: null,
    clusterId: 0xcafen,
    memberId: 0xbeefn,
    unsafeNoFsync: true,
    quotaBackendBytes: 0,
    maxRequestBytes: 1_572_864,
    maxTxnOps: 128,
    maxConcurrentStreams: 4294967295,
    grpcKeepaliveMinTimeMs: 5000,
    grpcKeepaliveIntervalMs: 7_200_000,
    grpcKeepaliveTimeoutMs: 20_000,
    requestTimeoutMs: 7000,
    electionTimeoutMs: 1000,
    leaseTtlSecondsMin: 2,
    extensiveMetrics: false,
    warningUnaryRequestDurationMs: 300,
    logRequests: false,
    warningApplyDurationMs: 100,
    audit: null,
    peerReadTimeoutMs: 5000,
    peerWriteTimeoutMs: 3000,
    backendBatchIntervalMs: 100,
    backendBatchLimit: null,
    compactionBatchLimit: null,
    compactionSleepIntervalMs: 10,
    watchProgressNotifyIntervalMs: 600_000,
    authToken: "simple",
    frontThreads: 1,
    appendGrant: true,
    ...changes,
  };
}

/** Raft with one voter, as far as the data plane sees it. */
export class Voter {
  readonly engine: Engine;
  readonly server: NativeServer;
  readonly seen: NativeEvent[] = [];
  #term = 0;
  #last = 0;
  #seq = 0;
  #persisting: { seq: number; index: number }[] = [];
  readonly #waiting = new Map<number, (event: Extract<NativeEvent, { type: "proposed" }>) => void>();
  #token = 0;
  /** What a control entry writes. */
  writes = (data: Uint8Array): MetaWrite[] => [{ table: "members", key: data, value: Buffer.from("v") }];

  constructor(private readonly given: EngineOptions) {
    this.engine = new Engine(binding, given);
    this.server = new NativeServer(this.engine.native.transport);
  }

  async open(): Promise<Recovered> {
    const found = await this.engine.native.open();
    running.add(this);
    this.engine.onWake(() => {
      for (const event of this.engine.native.drain()) this.#step(event);
    });
    this.#term = found.hardState.term + 1;
    this.#last = found.entries.at(-1)?.index ?? found.snapshotIndex;
    const empty = { term: this.#term, kind: EntryKind.Empty, payload: 0, data: null };
    this.#persist([{ ...empty, index: this.#last + 1 }], true);
    if (this.given.appendGrant) this.engine.native.log.grant(this.#term, this.#last + 1, null);
    this.engine.native.setServing({ term: this.#term, hasLeader: true, isLearner: false });
    return found;
  }

  #persist(entries: Parameters<Engine["native"]["log"]["persist"]>[2], withHardState: boolean): void {
    this.#seq += 1;
    const hardState = withHardState ? { term: this.#term, vote: 0xbeefn, commit: this.#last } : null;
    this.engine.native.log.persist(this.#seq, hardState, entries);
    this.#last = entries.at(-1)?.index ?? this.#last;
    this.#persisting.push({ seq: this.#seq, index: this.#last });
  }

  #step(event: NativeEvent): void {
    this.seen.push(event);
    const { log } = this.engine.native;
    if (event.type === "appended") this.#last = event.entries.at(-1)?.index ?? this.#last;
    else if (event.type === "batch") {
      const entry = { index: this.#last + 1, term: this.#term, kind: EntryKind.Batch };
      this.#persist([{ ...entry, payload: event.payload, data: null }], false);
    } else if (event.type === "persisted") {
      for (const { index } of this.#persisting.filter(({ seq }) => seq <= event.seq)) log.commit(index);
      this.#persisting = this.#persisting.filter(({ seq }) => seq > event.seq);
    } else if (event.type === "control") {
      log.controlApplied(event.index, this.writes(event.data));
    } else if (event.type === "readRequest") log.readIndexReady(event.ctx, this.#last);
    else if (event.type === "proposed") this.#waiting.get(event.token)?.(event);
    else this.server.handle(event);
  }

  propose(
    kind: OpKind,
    request: Uint8Array,
    caller: Caller = null,
  ): Promise<Extract<NativeEvent, { type: "proposed" }>> {
    this.#token += 1;
    const token = this.#token;
    const answer = new Promise<Extract<NativeEvent, { type: "proposed" }>>((resolve) => {
      this.#waiting.set(token, resolve);
    });
    this.engine.native.propose(kind, request, token, caller);
    return answer;
  }

  async listen(): Promise<string> {
    const listener = {
      role: "client",
      address: "127.0.0.1:0",
      unix: false,
      grpc: true,
      http: true,
      plain: true,
      tls: false,
      held: false,
    } as const;
    const [address] = await this.engine.native.transport.listen([listener]);
    return address ?? "";
  }

  async close(): Promise<void> {
    running.delete(this);
    await this.engine.native.close(1000);
  }
}

/** One field of a protobuf message with a length. */
export function field(number: number, value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}

export const put = (key: string, value: string) => Buffer.concat([field(1, key), field(2, value)]);

export function unary(client: Client, path: string, request: Buffer, metadata = new Metadata()): Promise<Buffer> {
  const same = (bytes: Buffer) => bytes;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, request, metadata, (error: ServiceError | null, answer) => {
      if (error) reject(error);
      else resolve(answer ?? Buffer.alloc(0));
    });
  });
}
