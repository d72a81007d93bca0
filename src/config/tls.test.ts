// What of TLS does not go together, and what only a config file says of it.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Config } from "./config.js";
import { loadConfig } from "./load.js";

const folder = mkdtempSync(join(tmpdir(), "netcd-tls-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function run(args: string[]): Config {
  const loaded = loadConfig(args, {});
  if (loaded.kind !== "run") throw new Error(`cannot run: ${JSON.stringify(loaded)}`);
  return loaded.config;
}

function refusal(...args: string[]): string {
  const loaded = loadConfig(args, {});
  return loaded.kind === "refused" ? loaded.error.message : `not refused but ${loaded.kind}`;
}

function file(text: string): string {
  const path = join(folder, "netcd.yaml");
  writeFileSync(path, text);
  return `--config-file=${path}`;
}

describe("a certificate of the member's own", () => {
  it.each([
    ["auto-tls", "trusted-ca-file", "=ca.pem"],
    ["auto-tls", "client-cert-auth", ""],
    ["auto-tls", "client-crl-file", "=crl.pem"],
    ["auto-tls", "client-cert-allowed-hostname", "=a"],
    ["peer-auto-tls", "peer-trusted-ca-file", "=ca.pem"],
    ["peer-auto-tls", "peer-client-cert-auth", ""],
    ["peer-auto-tls", "peer-crl-file", "=crl.pem"],
    ["peer-auto-tls", "peer-cert-allowed-cn", "=a"],
    ["peer-auto-tls", "peer-cert-allowed-hostname", "=a"],
  ])("--%s beside --%s is refused, with both names", (auto, rule, value) => {
    const text = `--${auto} and --${rule} do not go together: a member that makes its own certificate asks nobody for one`;
    expect(refusal(`--${auto}`, `--${rule}${value}`)).toBe(text);
    // With a certificate that was given none is made, and the rule has its effect.
    const cert = auto === "auto-tls" ? "cert-file" : "peer-cert-file";
    expect(run([`--${auto}`, `--${rule}${value}`, `--${cert}=c.pem`]).name).toBe("default");
    const other = auto === "auto-tls" ? "peer-auto-tls" : "auto-tls";
    expect(run([`--${other}`, `--${rule}${value}`]).name).toBe("default");
  });

  it("beside allowed common names of clients, which only a config file has, is refused too", () => {
    const security = "client-transport-security: {auto-tls: true, allowed-cn: [a]}";
    expect(refusal(file(security))).toMatch(
      /^--auto-tls and --client-transport-security\.allowed-cn do not go together/,
    );
  });

  it("is good for as many years as it says; in a file 0 is 1", () => {
    expect(run(["--self-signed-cert-validity=7"]).selfSignedCertValidityYears).toBe(7);
    expect(run(["--self-signed-cert-validity=0"]).selfSignedCertValidityYears).toBe(0);
    expect(run([file("self-signed-cert-validity: 0\n")]).selfSignedCertValidityYears).toBe(1);
  });
});

describe("TLS in a config file", () => {
  const side = (auth: boolean) =>
    `{cert-file: c, key-file: k, client-cert-file: cc, client-key-file: ck, client-cert-auth: ${auth}, ` +
    "trusted-ca-file: ca, allowed-cn: [a, b], skip-client-san-verification: true}";
  const expected = {
    certFile: "c",
    keyFile: "k",
    clientCertFile: "cc",
    clientKeyFile: "ck",
    trustedCaFile: "ca",
    crlFile: "",
    allowedCommonNames: ["a", "b"],
    allowedHostnames: [],
    auto: false,
    skipsSanVerification: true,
  };

  it("is one map for clients and one for members, with the same keys", () => {
    const config = run([file(`client-transport-security: ${side(true)}\npeer-transport-security: ${side(false)}\n`)]);
    expect(config.clientTls).toEqual({ ...expected, clientCertAuth: true });
    expect(config.peerTls).toEqual({ ...expected, clientCertAuth: false });
  });

  it("has suites as a list and versions as texts", () => {
    const suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    const config = run([file(`cipher-suites: [${suite}]\ntls-max-version: TLS1.2\n`)]);
    expect([config.cipherSuites, config.tlsMinVersion, config.tlsMaxVersion]).toEqual([[suite], "TLS1.2", "TLS1.2"]);
  });

  it("has no flags for what only a file says", () => {
    for (const name of ["allowed-cn", "skip-client-san-verification"]) {
      const loaded = loadConfig([`--client-transport-security.${name}=a`], {});
      expect(loaded.kind === "print" && [loaded.code, loaded.stderr.split("\n")[0]]).toEqual([
        2,
        `flag provided but not defined: -client-transport-security.${name}`,
      ]);
    }
  });
});

it("flags of TLS are the configuration's", () => {
  const config = run([
    "--peer-cert-file=c",
    "--peer-key-file=k",
    "--peer-crl-file=crl",
    "--peer-cert-allowed-cn=a,b",
    "--peer-skip-client-san-verification",
    "--client-crl-file=crl2",
    "--client-cert-allowed-hostname=h",
    "--tls-min-version=TLS1.3",
  ]);
  expect(config.peerTls).toMatchObject({
    certFile: "c",
    keyFile: "k",
    crlFile: "crl",
    allowedCommonNames: ["a", "b"],
    skipsSanVerification: true,
  });
  expect(config.clientTls).toMatchObject({ crlFile: "crl2", allowedHostnames: ["h"], clientCertAuth: false });
  expect([config.tlsMinVersion, config.tlsMaxVersion]).toEqual(["TLS1.3", "TLS1.3"]);
});
