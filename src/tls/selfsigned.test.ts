import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Config } from "../config/config.js";
import { ownPair } from "./selfsigned.js";
import { binding, configOf, Folder } from "./tests/kit.js";

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder.remove());

const DAY = 86_400_000;
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
/** As member/tls.ts asks: null where it is no pair. */
const endOf = (certificate: Uint8Array) => {
  try {
    return Date.parse(new X509Certificate(certificate).validTo);
  } catch {
    return null;
  }
};

function made(config: Config) {
  const { selfSignedCertificate } = binding;
  const pair = ownPair(config, "client", config.listenClientUrls, { selfSignedCertificate, endOf }, folder.log);
  return { ...pair, certificate: new X509Certificate(readFileSync(pair.certFile)) };
}

const configFor = (...more: string[]) =>
  configOf(
    `--data-dir=${join(folder.path, "data")}`,
    "--listen-client-urls=https://127.0.0.1:1,https://localhost:2,https://:3",
    "--advertise-client-urls=https://127.0.0.1:1",
    "--auto-tls",
    ...more,
  );

it("is made where etcd makes it, for the hosts of the URLs, and kept", () => {
  const config = configFor("--self-signed-cert-validity=2");
  const first = made(config);
  const fixtures = join(folder.path, "data/fixtures");
  expect(first.certFile).toBe(join(fixtures, "client/cert.pem"));
  expect([fixtures, join(fixtures, "client"), first.certFile, first.keyFile].map(mode)).toEqual([
    "700",
    "700",
    "644",
    "600",
  ]);
  const { certificate } = first;
  expect(certificate.subjectAltName).toBe("IP Address:127.0.0.1, DNS:localhost");
  expect(certificate.subject).toBe("O=etcd");
  expect((Date.parse(certificate.validTo) - Date.now()) / DAY).toBeCloseTo(730, 1);
  expect(folder.lines.map((line) => line["msg"])).toEqual([
    "automatically generate certificates",
    "created cert file",
    "created key file",
  ]);
  expect(made(config).certificate.fingerprint).toBe(certificate.fingerprint);
  expect(folder.lines).toHaveLength(3);
});

it("is made anew before anybody is warned of its end, and where a file is none", () => {
  const config = configFor();
  const directory = join(folder.path, "data/fixtures/client");
  mkdirSync(directory, { recursive: true });
  const put = (days: number) => {
    const { certificate, key } = binding.selfSignedCertificate(["127.0.0.1"], days);
    folder.write("data/fixtures/client/cert.pem", certificate);
    folder.write("data/fixtures/client/key.pem", key);
    return new X509Certificate(certificate).fingerprint;
  };
  const good = put(32);
  expect(made(config).certificate.fingerprint).toBe(good);
  const ending = put(30);
  expect(made(config).certificate.fingerprint).not.toBe(ending);
  folder.write("data/fixtures/client/cert.pem", "garbage");
  expect(made(config).certificate.subject).toBe("O=etcd");
  expect(existsSync(join(directory, "cert.pem.new"))).toBe(false);
});
