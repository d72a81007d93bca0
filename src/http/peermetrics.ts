// The metrics of the links to the other members, under etcd's names.

import { Counter, Gauge, type Registry } from "prom-client";
import type { PeerLinks } from "../replica/peerlinks.js";
import type { PeerCounts } from "../replica/peertally.js";
import type { ServiceContext } from "../services/context.js";

/** What is known of the links. */
export type PeerFigures = Pick<PeerLinks, "isConnected" | "tally">;

/** Counts of one other member each, shown once there is something to count. */
const STORES = [
  [Counter, "snapshot_send_success", "To", "Stores sent to other members.", "storesSent"],
  [Counter, "snapshot_send_failures", "To", "Stores that did not arrive.", "storesFailed"],
  [Gauge, "snapshot_send_inflights_total", "To", "Stores on their way.", "storesSending"],
  [Counter, "snapshot_receive_success", "From", "Stores that arrived.", "storesReceived"],
] as const satisfies [typeof Counter | typeof Gauge, string, "To" | "From", string, keyof PeerCounts][];

/** Who else there is, and the links to them. */
export function registerPeers(registry: Registry, context: ServiceContext, links: PeerFigures): void {
  const all = () => context.membership.members().map(({ id }) => id);
  const others = () => all().filter((id) => id !== context.memberId);
  const Local = context.memberId.toString(16);
  const between = (Kind: typeof Counter | typeof Gauge, name: string, help: string, each: () => [bigint, number][]) => {
    new Kind({
      name: `etcd_network_${name}`,
      help,
      labelNames: ["Local", "Remote"],
      registers: [registry],
      collect() {
        this.reset();
        for (const [id, value] of each()) this.inc({ Local, Remote: id.toString(16) }, value);
      },
    });
  };
  between(Gauge, "known_peers", "1 for every member.", () => all().map((id) => [id, 1]));
  between(Gauge, "active_peers", "1 for every other member whose link is up.", () =>
    others().map((id) => [id, links.isConnected(id) ? 1 : 0]),
  );
  between(Counter, "disconnected_peers_total", "Links to other members that were up and have ended.", () =>
    others().map((id) => [id, links.tally.of(id).disconnects]),
  );
  for (const [Kind, name, label, help, count] of STORES) {
    const collect = (metric: Counter | Gauge) => {
      metric.reset();
      for (const id of others()) {
        const value = links.tally.of(id)[count];
        if (value > 0) metric.inc({ [label]: id.toString(16) }, value);
      }
    };
    new Kind({
      name: `etcd_network_${name}`,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        collect(this);
      },
    });
  }
  new Counter({
    name: "etcd_server_heartbeat_send_failures_total",
    help: "Heartbeats that this member sent late as the leader.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(links.tally.lateHeartbeats);
    },
  });
}
