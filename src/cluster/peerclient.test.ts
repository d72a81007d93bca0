import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { askPeer } from "./peerclient.js";

/** What a server at `listen` was asked, by the URL that `url` makes of its port. */
async function asked(listen: string | number, url: (port: number) => string): Promise<string[]> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.on("data", (chunk: Buffer) => seen.push(chunk.toString()));
    request.on("end", () => response.writeHead(201, { "X-Etcd-Cluster-Id": "7" }).end("answer"));
  });
  await new Promise<void>((resolve) => server.listen(listen, resolve));
  try {
    const port = typeof listen === "string" ? 0 : (server.address() as AddressInfo).port;
    const question = { method: "POST", url: url(port), path: "/leases", body: Buffer.from("body"), timeoutMs: 5_000 };
    const { status, headers, body } = await askPeer({ ...question, method: "POST" });
    return [...seen, `${status} ${headers.get("x-etcd-cluster-id")} ${body}`];
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const story = ["POST /leases", "body", "201 7 answer"];

describe("a question to a peer URL", () => {
  it("goes over TCP", async () => {
    expect(await asked(0, (port) => `http://127.0.0.1:${port}`)).toEqual(story);
    expect(await asked(0, (port) => `HTTP://localhost:${port}`)).toEqual(story);
  });

  it("goes over a socket of this machine", async () => {
    const directory = mkdtempSync(join(tmpdir(), "peer"));
    try {
      const path = join(directory, "localhost:2380");
      expect(await asked(path, () => `unix://${path}`)).toEqual(story);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("is refused by name where it cannot go", async () => {
    for (const url of ["https://127.0.0.1:1", "unixs://localhost:1"]) {
      await expect(askPeer({ method: "GET", url, path: "/members", timeoutMs: 1_000 })).rejects.toThrow(
        `${url}: only http:// and unix:// peer URLs can be dialled, netcd does not have TLS yet`,
      );
    }
  });
});
