// What the flags say of TLS: files and rules, of the clients' and of the peers' side; and what of it does not go together.

import { ConfigError } from "./errors.js";
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
  /** The member makes its own certificate, unless it was given one. */
  readonly auto: boolean;
  readonly skipsSanVerification: boolean;
}

export type TlsVersion = "TLS1.2" | "TLS1.3";

const VERSIONS: readonly string[] = ["TLS1.2", "TLS1.3"];

/** The flags of both sides, by what they are. */
const FLAGS = {
  client: {
    auto: "auto-tls",
    cert: "cert-file",
    key: "key-file",
    clientCert: "client-cert-file",
    clientKey: "client-key-file",
    ca: "trusted-ca-file",
    crl: "client-crl-file",
    auth: "client-cert-auth",
    commonNames: "client-transport-security.allowed-cn",
    hostnames: "client-cert-allowed-hostname",
    skipsSan: "client-transport-security.skip-client-san-verification",
  },
  peer: {
    auto: "peer-auto-tls",
    cert: "peer-cert-file",
    key: "peer-key-file",
    clientCert: "peer-client-cert-file",
    clientKey: "peer-client-key-file",
    ca: "peer-trusted-ca-file",
    crl: "peer-crl-file",
    auth: "peer-client-cert-auth",
    commonNames: "peer-cert-allowed-cn",
    hostnames: "peer-cert-allowed-hostname",
    skipsSan: "peer-skip-client-san-verification",
  },
} as const;

type FlagsOfSide = (typeof FLAGS)["client" | "peer"];

function sideOf(settings: Settings, flags: FlagsOfSide): TlsConfig {
  return {
    certFile: settings.text(flags.cert),
    keyFile: settings.text(flags.key),
    clientCertFile: settings.text(flags.clientCert),
    clientKeyFile: settings.text(flags.clientKey),
    trustedCaFile: settings.text(flags.ca),
    crlFile: settings.text(flags.crl),
    clientCertAuth: settings.bool(flags.auth),
    allowedCommonNames: settings.list(flags.commonNames),
    allowedHostnames: settings.list(flags.hostnames),
    auto: settings.bool(flags.auto),
    skipsSanVerification: settings.bool(flags.skipsSan),
  };
}

export function assembleTls(settings: Settings) {
  return {
    clientTls: sideOf(settings, FLAGS.client),
    peerTls: sideOf(settings, FLAGS.peer),
    cipherSuites: settings.list("cipher-suites"),
    tlsMinVersion: (settings.text("tls-min-version") || "TLS1.2") as TlsVersion,
    tlsMaxVersion: (settings.text("tls-max-version") || "TLS1.3") as TlsVersion,
    selfSignedCertValidityYears: validityYears(settings),
  };
}

/** In a config file 0 stands for the default, as in etcd. */
function validityYears(settings: Settings): number {
  const years = settings.number("self-signed-cert-validity");
  return years === 0 && settings.isSet("config-file") ? 1 : years;
}

/** Throws ConfigError for what does not go together. */
export function checkTls(settings: Settings): void {
  checkVersions(settings);
  for (const flags of [FLAGS.peer, FLAGS.client]) {
    // With a certificate it makes none of its own.
    const given = [flags.cert, flags.key].some((flag) => settings.asks(flag));
    if (settings.bool(flags.auto) && !given) refuseBesideAuto(flags, settings);
  }
}

function checkVersions(settings: Settings): void {
  const least = settings.text("tls-min-version");
  const most = settings.text("tls-max-version");
  for (const version of [least, most]) {
    if (version !== "" && !VERSIONS.includes(version)) {
      throw new ConfigError(
        `unexpected TLS version ${JSON.stringify(version)} (must be one of: ${VERSIONS.join(", ")})`,
      );
    }
  }
  if (most !== "" && least > most) {
    throw new ConfigError(`min version (${least}) is greater than max version (${most})`);
  }
  if (least === "TLS1.3" && settings.list("cipher-suites").length > 0) {
    throw new ConfigError("cipher suites cannot be configured when only TLS1.3 is enabled");
  }
}

/** etcd lets everybody in then, and says nothing. */
function refuseBesideAuto(flags: FlagsOfSide, settings: Settings): void {
  const rules = [flags.ca, flags.auth, flags.crl, flags.commonNames, flags.hostnames];
  for (const rule of rules.filter((flag) => settings.asks(flag))) {
    throw new ConfigError(
      `--${flags.auto} and --${rule} do not go together: a member that makes its own certificate asks nobody for one`,
    );
  }
}
