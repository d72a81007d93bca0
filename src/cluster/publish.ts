// What a member does once there is a leader: it publishes itself.

import { formatDuration } from "../config/duration.js";
import type { Logger } from "../log/logger.js";
import type { Clock } from "../replica/clock.js";
import type { Replica } from "../replica/replica.js";
import type { Membership } from "./membership.js";

/** Between two tries, since a refusal may come at once. */
const RETRY_MS = 100;

export interface Publication {
  readonly replica: Replica;
  readonly membership: Membership;
  readonly memberId: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stopped: () => boolean;
}

/** Publishes name and client URLs through raft, again and again until it worked or the member stops. */
export async function publishMember(publication: Publication): Promise<void> {
  const { replica, membership, memberId, name, clientUrls, requestTimeoutMs, clock, log, stopped } = publication;
  const fields = {
    "local-member-id": memberId,
    "local-member-attributes": `{Name:${name} ClientURLs:[${clientUrls.join(" ")}]}`,
  };
  const timeout = formatDuration(requestTimeoutMs);
  while (!stopped()) {
    try {
      await replica.proposeControl({ type: "memberAttributes", id: memberId, name, clientUrls: [...clientUrls] });
      log.info("published local member to cluster through raft", {
        ...fields,
        "cluster-id": membership.clusterId,
        "publish-timeout": timeout,
      });
      return;
    } catch (error) {
      if (stopped()) return;
      log.warn("failed to publish local member to cluster through raft", {
        ...fields,
        "publish-timeout": timeout,
        error: error as Error,
      });
      await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
    }
  }
}
