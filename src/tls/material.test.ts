import { chmodSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TlsConfig } from "../config/tls.js";
import { openKeys, readMaterial } from "./material.js";
import { configOf, Folder, rules } from "./tests/kit.js";

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder.remove());

const read = (given: Partial<TlsConfig>, side: "client" | "peer" = "client") =>
  readMaterial(configOf(), { side, tls: rules(given), selfSigned: false, bare: null });

describe("what files hold", () => {
  it("is read together with the rules", () => {
    const [certFile, keyFile, trustedCaFile] = ["c", "k", "ca"].map((name) => folder.write(name, `${name}!`));
    const crlFile = folder.write("crl", Uint8Array.of(1, 2));
    const found = read({
      certFile: certFile ?? "",
      keyFile: keyFile ?? "",
      trustedCaFile: trustedCaFile ?? "",
      crlFile,
    });
    expect(found).toMatchObject({
      clientCertificate: null,
      clientKey: null,
      crlProblem: null,
      commonNameIsUser: false,
    });
    const { certificate, key, trustedCa, crl } = found;
    expect([certificate, key, trustedCa].map(String)).toEqual(["c!", "k!", "ca!"]);
    expect([...(crl ?? [])]).toEqual([1, 2]);
    // A CA alone demands certificates; who they name is a user only where it is said.
    expect(found.requiresClientCertificate).toBe(true);
  });

  it("makes users of clients' common names with --client-cert-auth, and never of members'", () => {
    const files = { certFile: folder.write("c", ""), keyFile: folder.write("k", ""), clientCertAuth: true };
    expect(read(files)).toMatchObject({ commonNameIsUser: true, requiresClientCertificate: true });
    expect(read(files, "peer")).toMatchObject({ commonNameIsUser: false, requiresClientCertificate: true });
  });

  it("that is not there is named in Go's words, the certificate first", () => {
    const certFile = folder.write("c", "");
    const none = `${folder.path}/none`;
    expect(() => read({ certFile: none, keyFile: `${none}2` })).toThrow(`open ${none}: no such file or directory`);
    expect(() => read({ certFile, keyFile: none })).toThrow(`open ${none}: no such file or directory`);
    expect(() => read({ certFile, keyFile: certFile, trustedCaFile: none })).toThrow(`open ${none}: no such file`);
    expect(() => read({ certFile: folder.path, keyFile: certFile })).toThrow(`read ${folder.path}: is a directory`);
    expect(() => read({ certFile: `${certFile}/x`, keyFile: certFile })).toThrow(`open ${certFile}/x: not a directory`);
  });

  it("is whole pairs, else the flags are named in Go's words", () => {
    const cert = folder.write("c", "");
    expect(() => read({ certFile: cert })).toThrow(`KeyFile and CertFile must both be present[key: , cert: ${cert}]`);
    expect(() => read({ keyFile: "k" })).toThrow("KeyFile and CertFile must both be present[key: k, cert: ]");
    const pair = { certFile: cert, keyFile: cert };
    const text = "ClientKeyFile and ClientCertFile must both be present or both absent: key:";
    expect(() => read({ ...pair, clientCertFile: "x" })).toThrow(`${text} , cert: x]`);
    expect(() => read({ ...pair, clientKeyFile: "x" })).toThrow(`${text} x, cert: ]`);
  });

  it("lacks a list that is not there, which keeps no member from starting", () => {
    const cert = folder.write("c", "");
    const crlFile = `${folder.path}/none`;
    expect(read({ certFile: cert, keyFile: cert, crlFile })).toMatchObject({
      crl: null,
      crlProblem: `open ${crlFile}: no such file or directory`,
    });
  });
});

it("private keys that others may read are named with their modes", () => {
  const [keyFile, clientKeyFile] = [folder.write("k", ""), folder.write("k2", "")];
  const tls = rules({ certFile: "c", keyFile, clientKeyFile });
  expect(openKeys(tls)).toEqual([]);
  chmodSync(clientKeyFile, 0o640);
  expect(openKeys(tls)).toEqual([{ file: clientKeyFile, mode: "0640" }]);
  chmodSync(keyFile, 0o604);
  expect(openKeys(tls)).toEqual([
    { file: keyFile, mode: "0604" },
    { file: clientKeyFile, mode: "0640" },
  ]);
});
