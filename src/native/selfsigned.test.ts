// Certificates that members make for themselves, as etcd's --auto-tls has them, read by Node's own library.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { binding } from "./tests/voter.js";

test("a certificate that a member makes for itself is for its hosts, and its key is in the form of etcd", () => {
  const made = binding.selfSignedCertificate(["localhost", "127.0.0.1", "::1"], 365);
  const certificate = new X509Certificate(made.certificate);
  expect(certificate.subject).toBe("O=etcd");
  expect(certificate.issuer).toBe("O=etcd");
  expect(certificate.subjectAltName).toBe("DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  const days = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 86_400_000;
  expect(days).toBe(365);
  expect(made.key).toMatch(/^-----BEGIN EC PRIVATE KEY-----\n/);
  const key = createPrivateKey(made.key);
  expect(key.asymmetricKeyDetails).toEqual({ namedCurve: "secp521r1" });
  expect(certificate.checkPrivateKey(key)).toBe(true);
  expect(() => binding.selfSignedCertificate(["a"], 0.5)).toThrow("days");
});
