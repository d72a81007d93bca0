import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { describe, expect, it } from "vitest";
import type { SelfSigned, TlsOptions } from "../native/binding.js";
import { loadBinding } from "../native/load.js";
import { dialOptions } from "../tls/dial.js";
import { BARE } from "../tls/material.js";
import { askPeer, peerClient } from "./peerclient.js";

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

  describe("with TLS", () => {
    const material = (days = 100, hosts = ["localhost", "127.0.0.1"]) =>
      loadBinding().selfSignedCertificate(hosts, days);

    /** What a server with this certificate answers to a question by these rules; or why there is no answer. */
    async function answer(served: SelfSigned, more: Partial<TlsOptions>, host = "127.0.0.1"): Promise<string> {
      const own = material();
      const asking = { requestCert: true, rejectUnauthorized: false };
      const shown = { cert: served.certificate, key: served.key };
      const server = createSecureServer({ ...shown, ...asking }, ({ socket }, response) => {
        const caller = (socket as TLSSocket).getPeerX509Certificate()?.fingerprint;
        response.end(caller === fingerprint(own.certificate) ? "answer" : `answer to ${caller}`);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const url = `https://${host}:${(server.address() as AddressInfo).port}`;
      const rules: TlsOptions = {
        ...BARE,
        certificate: Buffer.from(own.certificate),
        key: Buffer.from(own.key),
        trustedCa: Buffer.from(served.certificate),
      };
      try {
        const ask = peerClient(() => dialOptions({ ...rules, ...more }));
        return String((await ask({ method: "GET", url, path: "/members", timeoutMs: 5_000 })).body);
      } catch (error) {
        return (error as Error).message;
      } finally {
        await new Promise((resolve) => server.close(resolve));
      }
    }

    const fingerprint = (certificate: string) => new X509Certificate(certificate).fingerprint;

    it("shows the pair for calls where there is one", async () => {
      const { certificate, key } = material();
      const calling = { clientCertificate: Buffer.from(certificate), clientKey: Buffer.from(key) };
      expect(await answer(material(), calling)).toBe(`answer to ${fingerprint(certificate)}`);
    });

    const notVerified = (reason: string) => `tls: failed to verify certificate: x509: ${reason}`;

    it("believes whom the CA has signed, for the hosts that the certificate is for", async () => {
      const served = material();
      expect(await answer(served, {})).toBe("answer");
      expect(await answer(served, {}, "localhost")).toBe("answer");
      expect(await answer(material(100, ["localhost"]), {})).toBe(
        notVerified("cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"),
      );
      expect(await answer(material(100, ["10.1.2.3"]), {})).toBe(
        notVerified("certificate is valid for 10.1.2.3, not 127.0.0.1"),
      );
      const unknown = notVerified("certificate signed by unknown authority");
      expect(await answer(served, { trustedCa: Buffer.from(material().certificate) })).toBe(unknown);
      expect(await answer(served, { trustedCa: null })).toBe(unknown);
      expect(await answer(served, { trustedCa: null, skipsServerVerification: true })).toBe("answer");
    });

    it("applies the allowed names to who answers, too", async () => {
      const refused = "client certificate authentication failed";
      expect(await answer(material(), { allowedCommonNames: ["a"] })).toBe(refused);
      expect(await answer(material(), { allowedHostnames: ["a"] })).toBe(refused);
      expect(await answer(material(), { allowedHostnames: ["a", "localhost"] })).toBe("answer");
    });
  });
});
