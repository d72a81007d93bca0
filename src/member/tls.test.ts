// TLS of a whole member: what ends its start before anything is touched, and what it serves.

import { existsSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { askPeer } from "../cluster/peerclient.js";
import { dialOptions } from "../tls/dial.js";
import { binding, Folder } from "../tls/tests/kit.js";
import { Bench, type Place } from "./tests/kit.js";
import { TlsError } from "./tlssides.js";

let folder: Folder;
let bench: Bench;
beforeEach(() => {
  folder = new Folder();
  bench = new Bench();
});
afterEach(async () => {
  await bench.close();
  folder.remove();
});

const https = {
  client: (port: number) => [
    `--listen-client-urls=https://127.0.0.1:${port}`,
    `--advertise-client-urls=https://127.0.0.1:${port}`,
  ],
  peer: (port: number) => [
    `--listen-peer-urls=https://127.0.0.1:${port}`,
    `--initial-advertise-peer-urls=https://127.0.0.1:${port}`,
    `--initial-cluster=m1=https://127.0.0.1:${port}`,
  ],
};

describe("a start that TLS ends", () => {
  const BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

  /** The last line and the one before it, as etcd has them; the directory is not touched. */
  async function ended(more: (place: Place) => string[]): Promise<string[]> {
    const place = await bench.place();
    const { member, lines } = bench.create(more, place);
    const error = await member.start().then(
      () => new Error("it has started"),
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(TlsError);
    expect(existsSync(join(place.folder, "data"))).toBe(false);
    const before = lines(null).filter(({ level }) => level === "error" || level === "warn");
    const { message, reason } = error as TlsError;
    for (const line of before) expect(line["error"]).toBe(reason);
    return [...before.map((line) => String(line["msg"])), message, reason];
  }

  const client = (...files: string[]) => ended(({ client: port }) => [...https.client(port), ...files]);
  const peer = (...files: string[]) => ended(({ peer: port }) => [...https.peer(port), ...files]);
  const plain = (...files: string[]) => ended(() => files);

  it("names the URL that has no certificate", async () => {
    const files = "TLS key/cert (--cert-file, --key-file) must be provided for";
    const [line, text] = await client();
    expect(line).toBe("discovery failed");
    expect(text).toMatch(
      new RegExp(`^${files.replace(/[()]/g, "\\$&")} client url https://127\\.0\\.0\\.1:\\d+ with HTTPS scheme$`),
    );
    expect(await ended(({ other }) => [`--listen-metrics-urls=https://127.0.0.1:${other}`])).toEqual([
      "discovery failed",
      `client ${files} metrics secure url`,
    ]);
    const [first, last, reason] = await peer();
    expect([first, last]).toEqual(["creating peer listener failed", "discovery failed"]);
    expect(reason).toMatch(/^cannot listen on TLS for 127\.0\.0\.1:\d+: KeyFile and CertFile are not presented$/);
  });

  it("says what is wrong with files, for clients only where they are used", async () => {
    const { cert, key } = folder.pair("a");
    const other = folder.pair("b");
    const none = join(folder.path, "none");
    const broken = folder.write("broken", BROKEN);
    const text = folder.write("text", "text");
    const cases: [cert: string, key: string, more: string, reason: string][] = [
      [cert, "", "", `KeyFile and CertFile must both be present[key: , cert: ${cert}]`],
      [none, key, "", `open ${none}: no such file or directory`],
      [cert, none, "", `open ${none}: no such file or directory`],
      [text, key, "", "tls: failed to find any PEM data in certificate input"],
      [cert, text, "", "tls: failed to find any PEM data in key input"],
      [broken, key, "", "x509: malformed certificate"],
      [
        key,
        cert,
        "",
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
      ],
      [cert, other.key, "", "tls: private key does not match public key"],
      [cert, key, `trusted-ca-file=${none}`, `open ${none}: no such file or directory`],
      [cert, key, `trusted-ca-file=${broken}`, "x509: malformed certificate"],
      [
        cert,
        key,
        `client-cert-file=${cert}`,
        `ClientKeyFile and ClientCertFile must both be present or both absent: key: , cert: ${cert}]`,
      ],
    ];
    for (const [certFile, keyFile, more, reason] of cases) {
      const flags = (prefix: string) =>
        [`cert-file=${certFile}`, `key-file=${keyFile}`, ...(more === "" ? [] : [more])].map(
          (each) => `--${prefix}${each}`,
        );
      expect(await client(...flags(""))).toEqual(["listener failed", reason]);
      expect(await peer(...flags("peer-"))).toEqual(["creating peer listener failed", "discovery failed", reason]);
      // A member dials with its files, whatever its own URLs are.
      expect(await plain(...flags("peer-"))).toEqual(["bootstrap failed", "discovery failed", reason]);
    }
    const running = await bench.start(() => [`--cert-file=${none}`, `--key-file=${none}`]);
    expect(
      running.lines("scheme is http or unix while key and cert files are present; ignoring key and cert files"),
    ).toHaveLength(1);
  });

  it("names suites that there are not, names that exclude each other, and no years", async () => {
    expect(await plain("--cipher-suites=TLS_FOO")).toEqual([
      "discovery failed",
      'unexpected TLS cipher suite "TLS_FOO"',
    ]);
    const { cert, key } = folder.pair("a");
    const files = [`--cert-file=${cert}`, `--key-file=${key}`];
    const [line, reason] = await client(...files, "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
    expect([line, reason?.slice(0, 57)]).toEqual([
      "listener failed",
      "http2: TLSConfig.CipherSuites is missing an HTTP/2-requir",
    ]);
    const names = ["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b,c"];
    expect(await peer(`--peer-cert-file=${cert}`, `--peer-key-file=${key}`, ...names)).toEqual([
      "creating peer listener failed",
      "discovery failed",
      'AllowedCNs and AllowedHostnames are mutually exclusive (cns=["a"], hostnames=["b" "c"])',
    ]);
    const years = "selfSignedCertValidity is invalid,it should be greater than 0";
    for (const side of ["client", "peer"] as const) {
      const auto = side === "client" ? "--auto-tls" : "--peer-auto-tls";
      expect(await (side === "client" ? client : peer)(auto, "--self-signed-cert-validity=0")).toEqual([
        "cannot generate cert",
        `failed to get ${side} self-signed certs`,
        years,
      ]);
    }
  });

  it("leaves the data alone that is there already", async () => {
    const place = await bench.place();
    await (await bench.start(() => [], place)).member.stop();
    const { member } = bench.create(({ client: port }) => https.client(port), place);
    await expect(member.start()).rejects.toThrow(TlsError);
    // Nobody holds it.
    await (await bench.start(() => [], place)).member.stop();
  });
});

/** An answer over HTTPS from a server that shows a certificate of this file. */
function get(port: number, path: string, ca: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, path, ca, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on("error", reject);
    call.end();
  });
}

/** The certificate that is shown at a port. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

const expiry = (text: string) =>
  [...text.matchAll(/^netcd_certificate_expiry_seconds\{(.*)\} (\S+)$/gm)].map(([, labels, seconds]) => [
    labels,
    Math.round(Number(seconds) / 86_400),
  ]);

describe("a member with TLS", () => {
  it("serves http and https on one port, says so, and counts the ends of its certificates", async () => {
    const { cert, key, made } = folder.pair("a", 40);
    const running = await bench.start(({ client, peer, other }) => [
      `--listen-client-urls=http://127.0.0.1:${client},https://127.0.0.1:${client}`,
      ...https.peer(peer),
      `--listen-metrics-urls=https://127.0.0.1:${other}`,
      ...["cert", "peer-cert"].flatMap((name) => [
        `--${name}-file=${cert}`,
        `--${name.replace("cert", "key")}-file=${key}`,
      ]),
      `--peer-trusted-ca-file=${cert}`,
    ]);
    const { client, peer, other } = running.place;
    expect((await running.get("/version")).status).toBe(200);
    for (const port of [client, other]) expect((await get(port, "/health", made.certificate)).status).toBe(200);
    const traffic = { traffic: "grpc+http", address: `127.0.0.1:${client}` };
    expect(running.lines("serving client traffic securely")).toMatchObject([traffic]);
    expect(running.lines("serving client traffic insecurely; this is strongly discouraged!")).toMatchObject([traffic]);
    const info = (ca: string) =>
      `cert = ${cert}, key = ${key}, client-cert=, client-key=, trusted-ca = ${ca}, client-cert-auth = false, crl-file = `;
    expect(running.lines("starting with peer TLS")).toMatchObject([{ "tls-info": info(cert), "cipher-suites": [] }]);
    expect(running.lines("starting with client TLS")).toMatchObject([{ "tls-info": info(""), "cipher-suites": [] }]);
    expect(expiry((await get(client, "/metrics", made.certificate)).body)).toEqual([
      [`role="peer",file="${cert}"`, 40],
      [`role="client",file="${cert}"`, 40],
    ]);
    // The peer port demands a certificate, with which members ask each other.
    await expect(get(peer, "/members", made.certificate)).rejects.toThrow();
  });

  it("makes certificates of its own, by which members believe each other", async () => {
    const running = await bench.start(({ client, peer }) => [
      ...https.client(client),
      ...https.peer(peer),
      "--auto-tls",
      "--peer-auto-tls",
    ]);
    const own = (side: string) => join(running.place.folder, "data/fixtures", side, "cert.pem");
    expect(running.lines("created cert file").map((line) => line["path"])).toEqual([own("peer"), own("client")]);
    const { certificate, key } = binding.selfSignedCertificate(["localhost"], 1);
    const unchecked = { ...dialOptions(null), cert: certificate, key, rejectUnauthorized: false };
    const url = `https://127.0.0.1:${running.place.peer}`;
    const question = { method: "GET", url, path: "/members", timeoutMs: 5_000 } as const;
    expect((await askPeer(question, unchecked)).status).toBe(200);
    await expect(askPeer(question, dialOptions(null))).rejects.toThrow("x509: certificate signed by unknown authority");
  });

  it("shows new certificates without a restart, and counts those that it could not use", async () => {
    const { cert, key } = folder.pair("a");
    const files = [`--cert-file=${cert}`, `--key-file=${key}`];
    const running = await bench.start(({ client }) => [...https.client(client), ...files]);
    const { client } = running.place;
    const before = await shown(client);
    const { made } = folder.pair("a");
    await vi.waitFor(async () => expect(await shown(client)).not.toBe(before), { timeout: 15_000, interval: 50 });
    const now = await shown(client);
    folder.write("a.key", "garbage");
    const failures = async () =>
      /^netcd_tls_reload_failures_total\{role="client"\} (\d+)$/m.exec(
        (await get(client, "/metrics", made.certificate)).body,
      )?.[1];
    expect(await failures()).toBe("0");
    await vi.waitFor(async () => expect(await failures()).toBe("1"), { timeout: 15_000, interval: 50 });
    expect(await shown(client)).toBe(now);
  });
});
