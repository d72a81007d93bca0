// A member's TLS: both sides' files, what is dialled with them, and the metric of when they end.

import type { RequestOptions } from "node:https";
import { checkServerIdentity } from "node:tls";
import { Gauge, type Registry } from "prom-client";
import { BootstrapError } from "../cluster/initial.js";
import { setDialTls } from "../cluster/peerclient.js";
import type { Config } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import type { NativeBinding, NativeTransport, TlsOptions } from "../native/binding.js";
import { hasCertificate } from "../tls/material.js";
import { TlsFiles } from "../tls/watch.js";

export class MemberTls {
  readonly #sides: TlsFiles[] = [];

  /** Throws BootstrapError with etcd's text if a side's files cannot be used. */
  constructor(config: Config, binding: NativeBinding, log: Logger, registry: Registry) {
    const check = (options: TlsOptions) => binding.checkTls(options);
    try {
      if (hasCertificate(config.clientTls)) this.#sides.push(new TlsFiles("client", config, check, log));
      if (hasCertificate(config.peerTls)) this.#sides.push(new TlsFiles("peer", config, check, log));
    } catch (error) {
      throw new BootstrapError((error as Error).message);
    }
    const sides = this.#sides;
    const peers = sides.find(({ side }) => side === "peer");
    setDialTls(() => (peers === undefined ? {} : dialled(peers.options)));
    new Gauge({
      name: "netcd_certificate_expiry_seconds",
      help: "Seconds until a certificate ends.",
      labelNames: ["role", "file"],
      registers: [registry],
      collect() {
        for (const { side, found } of sides) {
          this.set({ role: side, file: "certificate" }, (found.certificateEndMs - Date.now()) / 1_000);
        }
      },
    });
  }

  /** Has the data plane use the files, as they are and as they will be. */
  start(transport: NativeTransport): void {
    for (const one of this.#sides) {
      transport.setTls(one.side, one.options);
      one.start((options) => transport.setTls(one.side, options));
    }
  }

  stop(): void {
    for (const one of this.#sides) one.stop();
  }
}

function dialled(options: TlsOptions): RequestOptions {
  return {
    cert: Buffer.from(options.clientCertificate ?? options.certificate),
    key: Buffer.from(options.clientKey ?? options.key),
    ...(options.trustedCa === null ? {} : { ca: Buffer.from(options.trustedCa) }),
    rejectUnauthorized: !options.skipsServerVerification,
    checkServerIdentity,
    minVersion: options.minVersion === "TLS1.3" ? "TLSv1.3" : "TLSv1.2",
  };
}
