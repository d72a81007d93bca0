import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TlsConfig } from "../config/tls.js";
import type { TlsOptions } from "../native/binding.js";
import { TlsFiles } from "./files.js";
import { binding, configOf, Folder, rules } from "./tests/kit.js";

let folder: Folder;
let opened: TlsFiles[];
beforeEach(() => {
  folder = new Folder();
  opened = [];
});
afterEach(() => {
  for (const files of opened) files.stop();
  folder.remove();
});

/** Slow file systems and busy machines: what is waited for comes within milliseconds otherwise. */
const PATIENCE = { timeout: 15_000, interval: 20 };

function open(given: Partial<TlsConfig>): { files: TlsFiles; taken: TlsOptions[] } {
  const sources = { side: "client", tls: rules(given), selfSigned: false, bare: null } as const;
  const files = new TlsFiles(configOf(), sources, binding.checkTls, folder.log);
  opened.push(files);
  const taken: TlsOptions[] = [];
  files.watch((options) => void taken.push(options));
  return { files, taken };
}

/** A list without entries. Whose it is and how old does not matter, as in etcd. */
const EMPTY_LIST = `${[
  "-----BEGIN X509 CRL-----",
  "MIGnME4CAQEwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EXDTI2MTIwMTAzNTEz",
  "OFoYDzIxMjYxMTA3MDM1MTM4WqAOMAwwCgYDVR0UBAMCAQEwCgYIKoZIzj0EAwID",
  "SQAwRgIhAKZgqB7cT4RoFOJ/EvkC+oliRpMev63C7Ci3aYcO81iGAiEAsvbrOsgO",
  "GKNgzGJqnmtNDMroDZrzeYPsImoLSpk99Kk=",
  "-----END X509 CRL-----",
].join("\n")}\n`;

const newest = (taken: TlsOptions[]) => String(taken.at(-1)?.certificate ?? "");

describe("files that change", () => {
  it("are taken, one pair after the other", async () => {
    const { cert, key } = folder.pair("server", 50);
    const { files, taken } = open({ certFile: cert, keyFile: key });
    const [end] = files.ends();
    expect(((end?.endMs ?? 0) - Date.now()) / 86_400_000).toBeCloseTo(50, 1);
    const { made } = folder.pair("server", 70);
    await vi.waitFor(() => expect(newest(taken)).toBe(made.certificate), PATIENCE);
    expect(((files.ends()[0]?.endMs ?? 0) - Date.now()) / 86_400_000).toBeCloseTo(70, 1);
    expect(folder.messages("info")).toEqual(["took new TLS files"]);
    expect(files.failures).toBe(0);
  });

  it("are taken when a link above them is turned, as in Kubernetes, more than once", async () => {
    const place = (name: string) => {
      mkdirSync(join(folder.path, name));
      const made = binding.selfSignedCertificate(["localhost"], 9);
      writeFileSync(join(folder.path, name, "tls.crt"), made.certificate);
      writeFileSync(join(folder.path, name, "tls.key"), made.key);
      return made;
    };
    const turn = (to: string) => {
      symlinkSync(to, join(folder.path, "..data_tmp"));
      renameSync(join(folder.path, "..data_tmp"), join(folder.path, "..data"));
    };
    place("1");
    turn("1");
    for (const name of ["tls.crt", "tls.key"]) symlinkSync(`..data/${name}`, join(folder.path, name));
    const files = { certFile: join(folder.path, "tls.crt"), keyFile: join(folder.path, "tls.key") };
    const { taken } = open(files);
    for (const name of ["2", "3"]) {
      const made = place(name);
      turn(name);
      await vi.waitFor(() => expect(newest(taken)).toBe(made.certificate), PATIENCE);
    }
  });

  it("that cannot be used leave those of before, which is said once and counted, until they are mended", async () => {
    const { cert, key, made } = folder.pair("server");
    const { files, taken } = open({ certFile: cert, keyFile: key });
    folder.write("server.key", binding.selfSignedCertificate(["localhost"], 9).key);
    await vi.waitFor(() => expect(files.failures).toBe(1), PATIENCE);
    expect(folder.lines.filter((line) => line["level"] === "error")).toMatchObject([
      {
        msg: "new TLS files cannot be used; those of before stay in use",
        role: "client",
        error: "tls: private key does not match public key",
      },
    ]);
    expect([String(files.options.certificate), taken]).toEqual([made.certificate, []]);
    rmSync(cert);
    await vi.waitFor(() => expect(files.failures).toBe(2), PATIENCE);
    expect(folder.lines.at(-1)).toMatchObject({ error: `open ${cert}: no such file or directory` });
    const mended = folder.pair("server").made;
    await vi.waitFor(() => expect(newest(taken)).toBe(mended.certificate), PATIENCE);
  });

  it("are CAs too, and no CA that is gone is forgotten", async () => {
    const { cert, key } = folder.pair("server");
    const ca = folder.pair("ca").cert;
    const { files, taken } = open({ certFile: cert, keyFile: key, trustedCaFile: ca });
    const { made } = folder.pair("ca");
    await vi.waitFor(() => expect(String(taken.at(-1)?.trustedCa)).toBe(made.certificate), PATIENCE);
    folder.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    await vi.waitFor(() => expect(files.failures).toBe(1), PATIENCE);
    expect(String(files.options.trustedCa)).toBe(made.certificate);
    expect(folder.lines.at(-1)).toMatchObject({ level: "error", error: "x509: malformed certificate" });
  });
});

describe("a revocation list", () => {
  it.each([
    ["that is none", (name: string) => folder.write(name, "nothing"), () => "x509: malformed crl"],
    [
      "that is not there",
      (name: string) => join(folder.path, name),
      (path: string) => `open ${path}: no such file or directory`,
    ],
  ])("%s starts a member that refuses everybody, and says why", (_what, put, reason) => {
    const { cert, key } = folder.pair("server");
    const crlFile = put("crl");
    const { files } = open({ certFile: cert, keyFile: key, crlFile });
    expect(files.options).toMatchObject({ crl: null, crlProblem: reason(crlFile) });
    files.announce();
    expect(folder.lines).toMatchObject([
      { level: "error", msg: "no revocation list: every certificate is refused", error: reason(crlFile) },
    ]);
  });

  it("that turns bad leaves the one of before, and keeps no new certificate from being taken", async () => {
    const { cert, key } = folder.pair("server");
    const crlFile = folder.write("crl", EMPTY_LIST);
    const { files, taken } = open({ certFile: cert, keyFile: key, crlFile });
    folder.write("crl", "nothing");
    await vi.waitFor(() => expect(files.failures).toBe(1), PATIENCE);
    expect(folder.lines.at(-1)).toMatchObject({ level: "error", error: "x509: malformed crl" });
    expect([files.options.crlProblem, String(files.options.crl), taken]).toEqual([null, EMPTY_LIST, []]);
    const { made } = folder.pair("server");
    await vi.waitFor(() => expect(newest(taken)).toBe(made.certificate), PATIENCE);
    rmSync(crlFile);
    const reason = `open ${crlFile}: no such file or directory`;
    await vi.waitFor(() => expect(folder.lines.at(-1)?.["error"]).toBe(reason), PATIENCE);
    expect(String(files.options.crl)).toBe(EMPTY_LIST);
  });

  it("that was bad at the start keeps no new certificate from being taken either, and is taken when it is mended", async () => {
    const { cert, key } = folder.pair("server");
    const crlFile = folder.write("crl", "nothing");
    const { files, taken } = open({ certFile: cert, keyFile: key, crlFile });
    const { made } = folder.pair("server");
    await vi.waitFor(() => expect(newest(taken)).toBe(made.certificate), PATIENCE);
    expect(taken.at(-1)?.crlProblem).toBe("x509: malformed crl");
    folder.write("crl", EMPTY_LIST);
    await vi.waitFor(() => expect(String(taken.at(-1)?.crl)).toBe(EMPTY_LIST), PATIENCE);
    expect([files.options.crlProblem, files.failures]).toEqual([null, 0]);
  });
});
