// Members of this process, each with the flags that a test gives it, and clients of them.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials, Metadata, type MethodDefinition } from "@grpc/grpc-js";
import { loadConfig } from "../../src/config/load.js";
import type { Level } from "../../src/log/level.js";
import { Logger } from "../../src/log/logger.js";
import { Member } from "../../src/member/member.js";
import { loadBinding } from "../../src/native/load.js";

const binding = loadBinding();

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export interface Place {
  readonly folder: string;
  readonly client: number;
  readonly peer: number;
  /** For whatever else a test listens on. */
  readonly other: number;
}

export interface Running {
  readonly member: Member;
  readonly place: Place;
  /** Lines of the log with this message; null: all. */
  readonly lines: (message: string | null) => Record<string, unknown>[];
  readonly call: <Q, S>(method: MethodDefinition<Q, S>, request: object, token?: string) => Promise<S>;
  readonly get: (path: string, port?: number, headers?: Record<string, string>) => Promise<Response>;
}

/** What the tests of one file have opened. */
export class Bench {
  readonly #cleanups: (() => Promise<void> | void)[] = [];

  async place(): Promise<Place> {
    const folder = mkdtempSync(join(tmpdir(), "netcd-flags-"));
    this.#cleanups.push(() => rmSync(folder, { recursive: true }));
    return { folder, client: await freePort(), peer: await freePort(), other: await freePort() };
  }

  /** A member with these flags, started but not awaited. */
  async launch(more: (place: Place) => string[], given?: Place): Promise<Running> {
    const place = given ?? (await this.place());
    const { folder, client, peer } = place;
    const args = [
      "--name=m1",
      `--data-dir=${folder}/data`,
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--advertise-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      ...more(place),
    ];
    const loaded = loadConfig(args, {});
    if (loaded.kind !== "run") throw new Error(`cannot run: ${JSON.stringify(loaded)}`);
    const lines: Record<string, unknown>[] = [];
    const output = { write: (line: string) => void lines.push(JSON.parse(line)), close: () => {} };
    const log = new Logger({ level: loaded.config.log.level as Level, format: "json", outputs: [output] });
    const member = new Member(loaded.config, log, binding, (reason) => {
      throw new Error(`the member wants to end: ${reason}`);
    });
    this.#cleanups.push(() => member.stop());
    await member.start();
    return {
      member,
      place,
      lines: (message) => lines.filter((line) => message === null || line["msg"] === message),
      call: this.#connect(client),
      get: (path, port = client, headers = {}) => fetch(`http://127.0.0.1:${port}${path}`, { headers }),
    };
  }

  /** A member with these flags that serves. */
  async start(more: (place: Place) => string[], given?: Place): Promise<Running> {
    const running = await this.launch(more, given);
    await running.member.ready;
    return running;
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  #connect(port: number): Running["call"] {
    const channel = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    this.#cleanups.push(() => channel.close());
    return (method, request, token) =>
      new Promise((resolve, reject) => {
        const metadata = new Metadata();
        if (token !== undefined) metadata.set("token", token);
        channel.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request as Parameters<typeof method.requestSerialize>[0],
          metadata,
          (error, response) => (error || !response ? reject(error ?? new Error("no answer")) : resolve(response)),
        );
      });
  }
}
