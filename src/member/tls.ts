// A member's TLS while it runs: the files of both sides, used by the data plane and when other members are asked.

import type { RequestOptions } from "node:https";
import type { Config, ListenUrl } from "../config/config.js";
import type { TlsConfig } from "../config/tls.js";
import { isSecured } from "../config/urls.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import type { NativeTransport } from "../native/binding.js";
import { dialOptions } from "../tls/dial.js";
import type { End } from "../tls/expiry.js";
import type { TlsFiles } from "../tls/files.js";
import { BARE, hasFiles, type Side } from "../tls/material.js";
import { type OwnPair, ownPair } from "../tls/selfsigned.js";
import { givenSides, makesOwn, openSide, type TlsBinding, TlsError } from "./tlssides.js";

const SIDES = ["peer", "client"] as const;

export class MemberTls {
  readonly #config: Config;
  readonly #binding: TlsBinding;
  readonly #log: Logger;
  readonly #sides: TlsFiles[];
  #renewals: NodeJS.Timeout | null = null;

  /** Throws TlsError with etcd's text if TLS cannot be had as configured, and has logged what comes before it. */
  constructor(config: Config, binding: TlsBinding, log: Logger) {
    this.#config = config;
    this.#binding = binding;
    this.#log = log;
    try {
      this.#sides = givenSides(config, binding, log);
    } catch (error) {
      if (error instanceof TlsError && error.first) {
        log[error.first.level](error.first.message, { error: new Error(error.reason) });
      }
      throw error;
    }
  }

  /** Makes what the member makes for itself, and says what a side has. The data directory is there. Throws TlsError. */
  prepare(side: Side): void {
    const tls = this.#rules(side);
    if (makesOwn(tls)) this.#sides.push(this.#openOwn(side));
    else if (tls.auto) this.#log.warn(`ignoring ${side} auto TLS since certs given`);
    const files = this.#sides.find(({ sources }) => sources.side === side);
    const used = files?.sources.tls ?? tls;
    if (hasFiles(used)) this.#announce(side, used);
    files?.announce();
    if (side === "peer") warnOfPlainPeers(this.#config, this.#log);
    else warnOfPlainClients(this.#config, this.#log);
  }

  #rules(side: Side): TlsConfig {
    return side === "peer" ? this.#config.peerTls : this.#config.clientTls;
  }

  #announce(side: Side, tls: TlsConfig): void {
    const info =
      `cert = ${tls.certFile}, key = ${tls.keyFile}, client-cert=${tls.clientCertFile}, client-key=${tls.clientKeyFile}, ` +
      `trusted-ca = ${tls.trustedCaFile}, client-cert-auth = ${tls.clientCertAuth}, crl-file = ${tls.crlFile}`;
    this.#log.info(`starting with ${side} TLS`, { "tls-info": info, "cipher-suites": this.#config.cipherSuites });
  }

  #openOwn(side: Side): TlsFiles {
    try {
      const { certFile, keyFile } = this.#ownPair(side);
      const own = { certFile, keyFile, clientCertFile: certFile, clientKeyFile: keyFile };
      return openSide(this.#config, side, { ...this.#rules(side), ...own }, this.#binding, this.#log);
    } catch (error) {
      throw new TlsError(`failed to get ${side} self-signed certs`, (error as Error).message);
    }
  }

  /** Throws Error if there are no files and none can be made. */
  #ownPair(side: Side): OwnPair {
    const { listenPeerUrls, listenClientUrls, listenClientHttpUrls } = this.#config;
    const urls = side === "peer" ? listenPeerUrls : [...listenClientUrls, ...listenClientHttpUrls];
    const { selfSignedCertificate, checkTls } = this.#binding;
    const endOf = (certificate: Uint8Array, key: Uint8Array) => {
      try {
        return checkTls({ ...BARE, certificate, key }).certificateEndMs;
      } catch {
        // What is no pair is made anew.
        return null;
      }
    };
    return ownPair(this.#config, side, urls, { selfSignedCertificate, endOf }, this.#log);
  }

  /** Has the data plane use the files, as they are and as they will be. */
  use(transport: Pick<NativeTransport, "setTls">): void {
    for (const files of this.#sides) {
      const { side } = files.sources;
      transport.setTls(side, files.options);
      files.watch((options) => transport.setTls(side, options));
    }
    if (!SIDES.some((side) => makesOwn(this.#rules(side)))) return;
    this.#renewals = setInterval(() => this.#renew(), limits.tlsRenewalIntervalMs);
    this.#renewals.unref();
  }

  /** Certificates of its own are nobody else's to renew; new ones are then noticed like all files. */
  #renew(): void {
    for (const side of SIDES.filter((each) => makesOwn(this.#rules(each)))) {
      try {
        this.#ownPair(side);
      } catch (error) {
        this.#log.error(`failed to get ${side} self-signed certs`, { error: error as Error });
      }
    }
  }

  stop(): void {
    for (const files of this.#sides) files.stop();
    if (this.#renewals) clearInterval(this.#renewals);
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

const KEPT = "key and cert files are present; ignoring key and cert files";

/** etcd's warnings of URLs without TLS beside what is for TLS. */
function warnOfPlainPeers({ peerTls, listenPeerUrls }: Config, log: Logger): void {
  const auth = "--peer-client-cert-auth is enabled; ignoring client cert auth for this URL";
  const gives = hasFiles(peerTls) || peerTls.auto;
  for (const { text } of listenPeerUrls.filter(isPlain)) {
    if (gives) log.warn(`scheme is HTTP while ${KEPT}`, { "peer-url": text });
    if (peerTls.clientCertAuth) log.warn(`scheme is HTTP while ${auth}`, { "peer-url": text });
  }
}

function warnOfPlainClients({ clientTls, listenClientUrls, listenClientHttpUrls }: Config, log: Logger): void {
  const auth = "--client-cert-auth is enabled; ignoring client cert auth for this URL";
  const gives = hasFiles(clientTls) || clientTls.auto;
  for (const { text } of [...listenClientUrls, ...listenClientHttpUrls].filter(isPlain)) {
    if (gives) log.warn(`scheme is http or unix while ${KEPT}`, { "client-url": text });
    if (clientTls.clientCertAuth) log.warn(`scheme is http or unix while ${auth}`, { "client-url": text });
  }
}

const isPlain = (url: ListenUrl) => !isSecured(url);
