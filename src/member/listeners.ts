// From the URLs of the configuration to the sockets that the data plane binds.

import { networkInterfaces } from "node:os";
import { BootstrapError } from "../cluster/initial.js";
import type { Config, ListenUrl } from "../config/config.js";
import { isSecured, isUnix } from "../config/urls.js";
import type { ListenerOptions, NativeTransport } from "../native/binding.js";

/** A socket and what it serves. */
export interface PlannedListener extends ListenerOptions {
  /** The URL as it was given. */
  readonly url: string;
  /** What clients find there, as etcd's log line names it; empty for peers and metrics. */
  readonly traffic: "" | "grpc" | "http" | "grpc+http";
}

/** All listeners of a member: peers, clients, metrics. Throws BootstrapError for what cannot be served. */
export function planListeners(config: Config): PlannedListener[] {
  const http = config.listenClientHttpUrls.length === 0;
  const shared = config.listenClientUrls.find((url) =>
    config.listenClientHttpUrls.some((other) => other.text === url.text),
  );
  if (shared) {
    throw new BootstrapError(
      `cannot bind both --listen-client-urls and --listen-client-http-urls on the same url ${shared.text}`,
    );
  }
  const grpcTraffic = http ? "grpc+http" : "grpc";
  return [
    ...config.listenPeerUrls.map((url) => planned("peer", url, { grpc: false, http: true }, "")),
    ...config.listenClientUrls.map((url) => planned("client", url, { grpc: true, http }, grpcTraffic)),
    ...config.listenClientHttpUrls.map((url) => planned("client", url, { grpc: false, http: true }, "http")),
    ...config.listenMetricsUrls.map((url) => planned("metrics", url, { grpc: false, http: true }, "")),
  ];
}

interface Serves {
  readonly grpc: boolean;
  readonly http: boolean;
}

function planned(
  role: ListenerOptions["role"],
  url: ListenUrl,
  serves: Serves,
  traffic: PlannedListener["traffic"],
): PlannedListener {
  const tls = isSecured(url);
  const unix = isUnix(url);
  const address = unix ? url.address : bindAddress(url);
  // Clients connect at once and wait until the member is published; peers and probes are served from the start.
  return { role, address, unix, ...serves, plain: !tls, tls, held: role === "client", url: url.text, traffic };
}

/** "localhost" is the IPv4 loopback, as for etcd; no host is every interface. */
function bindAddress(url: ListenUrl): string {
  if (url.host === "localhost") return `127.0.0.1:${url.port}`;
  if (url.host !== "") return url.address;
  const anyIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === "IPv6"));
  return anyIpv6 ? `[::]:${url.port}` : `0.0.0.0:${url.port}`;
}

/** Binds all listeners. Rejects with BootstrapError and the text that Go gives for the same system error. */
export async function bind(transport: NativeTransport, listeners: readonly PlannedListener[]): Promise<void> {
  try {
    await transport.listen(merged(listeners));
  } catch (error) {
    // "bind: Address already in use (os error 98)" is Rust's form, "bind: address already in use" Go's.
    const text = (error as Error).message.replace(/ \(os error \d+\)$/, "");
    throw new BootstrapError(text.replace(/(bind: )(\p{Lu})/u, (_all, before, first) => before + first.toLowerCase()));
  }
}

/** http and https on one address are one socket, where the first byte of a connection decides. */
function merged(listeners: readonly PlannedListener[]): ListenerOptions[] {
  const byPlace = new Map<string, ListenerOptions>();
  for (const { url: _url, traffic: _traffic, ...one } of listeners) {
    const place = `${one.role} ${one.address}`;
    const other = byPlace.get(place) ?? one;
    byPlace.set(place, {
      ...one,
      grpc: one.grpc || other.grpc,
      http: one.http || other.http,
      plain: one.plain || other.plain,
      tls: one.tls || other.tls,
    });
  }
  return [...byPlace.values()];
}
