// A member's TLS: both sides' files, checked before anything else is touched, then used and watched.

import type { RequestOptions } from "node:https";
import { BootstrapError } from "../cluster/initial.js";
import type { Config, ListenUrl } from "../config/config.js";
import type { TlsConfig } from "../config/tls.js";
import type { Logger } from "../log/logger.js";
import type { NativeBinding, NativeTransport, TlsOptions } from "../native/binding.js";
import { dialOptions } from "../tls/dial.js";
import type { End } from "../tls/expiry.js";
import { TlsFiles } from "../tls/files.js";
import { hasCertificate, type Side } from "../tls/material.js";
import { ownPair } from "../tls/selfsigned.js";

export type TlsBinding = Pick<NativeBinding, "checkTls" | "selfSignedCertificate">;

const isSecured = ({ scheme }: ListenUrl) => scheme === "https" || scheme === "unixs";

export class MemberTls {
  readonly #config: Config;
  readonly #binding: TlsBinding;
  readonly #log: Logger;
  readonly #sides: TlsFiles[] = [];

  /** Throws BootstrapError with etcd's text if TLS cannot be had as configured. */
  constructor(config: Config, binding: TlsBinding, log: Logger) {
    this.#config = config;
    this.#binding = binding;
    this.#log = log;
    warnOfPlainUrls(config, log);
    this.#requireCertificates();
    this.#checkSuites();
    this.#open("peer", config.peerTls, false);
    if (this.#clientUrls().some(isSecured)) this.#open("client", config.clientTls, false);
  }

  #clientUrls(): ListenUrl[] {
    const { listenClientUrls, listenClientHttpUrls, listenMetricsUrls } = this.#config;
    return [...listenClientUrls, ...listenClientHttpUrls, ...listenMetricsUrls];
  }

  /** A URL with TLS needs a certificate, given or made. */
  #requireCertificates(): void {
    const { clientTls, peerTls, listenPeerUrls, listenMetricsUrls } = this.#config;
    const lacks = (tls: TlsConfig) => !hasCertificate(tls) && !tls.auto;
    const peer = listenPeerUrls.find(isSecured);
    if (peer && lacks(peerTls)) {
      throw new BootstrapError(`cannot listen on TLS for ${peer.address}: KeyFile and CertFile are not presented`);
    }
    const files = "TLS key/cert (--cert-file, --key-file) must be provided for";
    const client = this.#clientUrls().find(isSecured);
    if (!client || !lacks(clientTls)) return;
    throw new BootstrapError(
      listenMetricsUrls.includes(client)
        ? `client ${files} metrics secure url`
        : `${files} client url ${client.text} with HTTPS scheme`,
    );
  }

  /** Suites are refused by name whether anything is served with TLS or not. */
  #checkSuites(): void {
    const { cipherSuites } = this.#config;
    if (cipherSuites.length === 0) return;
    const { certificate, key } = this.#binding.selfSignedCertificate(["localhost"], 1);
    try {
      this.#binding.checkTls({
        ...BARE,
        certificate: Buffer.from(certificate),
        key: Buffer.from(key),
        cipherSuites: [...cipherSuites],
      });
    } catch (error) {
      throw new BootstrapError((error as Error).message);
    }
  }

  #open(side: Side, tls: TlsConfig, selfSigned: boolean): void {
    if (!hasCertificate(tls)) return;
    const check = (options: TlsOptions) => this.#binding.checkTls(options);
    try {
      this.#sides.push(new TlsFiles(this.#config, { side, tls, selfSigned }, check, this.#log));
    } catch (error) {
      throw new BootstrapError((error as Error).message);
    }
  }

  /** Certificates that this member makes for itself; the data directory is there by now. Throws BootstrapError. */
  makeOwn(): void {
    const { clientTls, peerTls, listenPeerUrls, listenClientUrls, listenClientHttpUrls } = this.#config;
    const sides = [
      ["peer", peerTls, listenPeerUrls],
      ["client", clientTls, [...listenClientUrls, ...listenClientHttpUrls]],
    ] as const;
    for (const [side, tls, urls] of sides) {
      if (!tls.auto) continue;
      if (hasCertificate(tls)) {
        this.#log.warn(`ignoring ${side} auto TLS since certs given`);
        continue;
      }
      this.#open(side, { ...tls, ...this.#ownPair(side, urls) }, true);
    }
    for (const files of this.#sides) this.#announce(files);
  }

  #ownPair(side: Side, urls: readonly ListenUrl[]) {
    const { selfSignedCertificate, checkTls } = this.#binding;
    const endOf = (certificate: Uint8Array, key: Uint8Array) => {
      try {
        return checkTls({ ...BARE, certificate, key }).certificateEndMs;
      } catch {
        // What is no pair is made anew.
        return null;
      }
    };
    try {
      return ownPair(this.#config, side, urls, { selfSignedCertificate, endOf }, this.#log);
    } catch (error) {
      throw new BootstrapError(`failed to get ${side} self-signed certs: ${(error as Error).message}`);
    }
  }

  #announce(files: TlsFiles): void {
    const { side, tls } = files.sources;
    const made = files.sources.tls;
    const info =
      `cert = ${made.certFile}, key = ${made.keyFile}, client-cert=${tls.clientCertFile}, client-key=${tls.clientKeyFile}, ` +
      `trusted-ca = ${tls.trustedCaFile}, client-cert-auth = ${tls.clientCertAuth}, crl-file = ${tls.crlFile}`;
    this.#log.info(`starting with ${side} TLS`, { "tls-info": info, "cipher-suites": this.#config.cipherSuites });
    files.announce();
  }

  /** Has the data plane use the files, as they are and as they will be. */
  use(transport: Pick<NativeTransport, "setTls">): void {
    for (const files of this.#sides) {
      const { side } = files.sources;
      transport.setTls(side, files.options);
      files.watch((options) => transport.setTls(side, options));
    }
  }

  stop(): void {
    for (const files of this.#sides) files.stop();
  }

  /** How other members are asked at this moment. */
  dialOptions(): RequestOptions {
    const peer = this.#sides.find(({ sources }) => sources.side === "peer");
    return dialOptions(peer?.options ?? null);
  }

  ends(): End[] {
    return this.#sides.flatMap((files) => files.ends());
  }

  /** Times that new files could not be used, by role. */
  reloadFailures(): [role: string, failures: number][] {
    return this.#sides.map((files) => [files.sources.side, files.failures]);
  }
}

/** A certificate and nothing else. */
const BARE = {
  clientCertificate: null,
  clientKey: null,
  trustedCa: null,
  requiresClientCertificate: false,
  crl: null,
  crlProblem: null,
  allowedCommonNames: [],
  allowedHostnames: [],
  skipsSanVerification: false,
  commonNameIsUser: false,
  cipherSuites: [],
  minVersion: "TLS1.2",
  maxVersion: "TLS1.3",
  skipsServerVerification: false,
  serverName: null,
} as const satisfies Partial<TlsOptions>;

/** etcd's warnings of URLs without TLS beside what is for TLS. */
function warnOfPlainUrls(config: Config, log: Logger): void {
  const { clientTls, peerTls } = config;
  const ignoring = (given: boolean, message: string, field: string, url: ListenUrl) => {
    if (given) log.warn(message, { [field]: url.text });
  };
  for (const url of config.listenPeerUrls.filter((each) => !isSecured(each))) {
    const start = "scheme is HTTP while";
    ignoring(
      hasCertificate(peerTls),
      `${start} key and cert files are present; ignoring key and cert files`,
      "peer-url",
      url,
    );
    ignoring(
      peerTls.clientCertAuth,
      `${start} --peer-client-cert-auth is enabled; ignoring client cert auth for this URL`,
      "peer-url",
      url,
    );
  }
  const urls = [...config.listenClientUrls, ...config.listenClientHttpUrls];
  for (const url of urls.filter((each) => !isSecured(each))) {
    const start = "scheme is http or unix while";
    ignoring(
      hasCertificate(clientTls),
      `${start} key and cert files are present; ignoring key and cert files`,
      "client-url",
      url,
    );
    ignoring(
      clientTls.clientCertAuth,
      `${start} --client-cert-auth is enabled; ignoring client cert auth for this URL`,
      "client-url",
      url,
    );
  }
}
