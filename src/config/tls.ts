// What the flags say of TLS: files and rules, of the clients' and of the peers' side.

import type { Settings } from "./settings.js";

/** TLS of one side. Files are paths, empty where none is given. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  readonly trustedCaFile: string;
  readonly crlFile: string;
  readonly clientCertAuth: boolean;
  readonly allowedCommonNames: readonly string[];
  readonly allowedHostnames: readonly string[];
  /** The member makes its own certificate. */
  readonly auto: boolean;
  readonly skipsSanVerification: boolean;
}

export type TlsVersion = "TLS1.2" | "TLS1.3";

export function assembleTls(settings: Settings) {
  return {
    clientTls: {
      certFile: settings.text("cert-file"),
      keyFile: settings.text("key-file"),
      clientCertFile: settings.text("client-cert-file"),
      clientKeyFile: settings.text("client-key-file"),
      trustedCaFile: settings.text("trusted-ca-file"),
      crlFile: settings.text("client-crl-file"),
      clientCertAuth: settings.bool("client-cert-auth"),
      allowedCommonNames: [],
      allowedHostnames: settings.list("client-cert-allowed-hostname"),
      auto: settings.bool("auto-tls"),
      skipsSanVerification: false,
    } satisfies TlsConfig as TlsConfig,
    peerTls: {
      certFile: settings.text("peer-cert-file"),
      keyFile: settings.text("peer-key-file"),
      clientCertFile: settings.text("peer-client-cert-file"),
      clientKeyFile: settings.text("peer-client-key-file"),
      trustedCaFile: settings.text("peer-trusted-ca-file"),
      crlFile: settings.text("peer-crl-file"),
      clientCertAuth: settings.bool("peer-client-cert-auth"),
      allowedCommonNames: settings.list("peer-cert-allowed-cn"),
      allowedHostnames: settings.list("peer-cert-allowed-hostname"),
      auto: settings.bool("peer-auto-tls"),
      skipsSanVerification: settings.bool("peer-skip-client-san-verification"),
    } satisfies TlsConfig as TlsConfig,
    cipherSuites: settings.list("cipher-suites"),
    tlsMinVersion: (settings.text("tls-min-version") || "TLS1.2") as TlsVersion,
    tlsMaxVersion: (settings.text("tls-max-version") || "TLS1.3") as TlsVersion,
    selfSignedCertValidityYears: settings.number("self-signed-cert-validity"),
  };
}
