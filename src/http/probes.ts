// Probes: requests whose answer is known until something changes that it depends on. The data plane gives it, so that
// nobody's question of whether this member lives enters JavaScript.

import type { Probe } from "../native/binding.js";
import { type AccessRules, isOpen, withCors } from "./access.js";
import type { HttpAnswer, ListenerRole } from "./message.js";
import { servedBy } from "./paths.js";

/** A good answer, and what must hold when it is given. */
export interface KnownAnswer extends Omit<Probe, "listener" | "headers" | "body"> {
  readonly answer: HttpAnswer;
}

export const NOTHING_NEEDED = { needsLeader: false, needsVote: false, readsStore: false, readsQuorum: false } as const;

const ROLES: readonly ListenerRole[] = ["client", "peer", "metrics"];

/** These answers on every listener that serves their paths. Where clients' headers count, each must be looked at. */
export function probes(known: readonly KnownAnswer[], rules: AccessRules): Probe[] {
  return ROLES.filter((role) => role !== "client" || isOpen(rules)).flatMap((role) => {
    const served = servedBy(role);
    return known
      .filter(({ target }) => served.includes(/^\/(\w+)/.exec(target)?.[1] ?? ""))
      .map(({ answer, ...probe }) => {
        const { headers, body } = role === "client" ? withCors(rules, "", answer) : answer;
        return { ...probe, listener: role, headers: headers.map(([name, value]) => [name, value]), body: String(body) };
      });
  });
}
