// A control plane that agrees to everything: what the replica of a simulated member asks about entries.

import type { MetaWrite } from "../../src/native/binding.js";
import type { ControlCommand, ControlHandlers, MembershipHandler } from "../../src/replica/commands.js";

/** Gives `result` of every command, and writes the same with each: nothing, unless it is given. */
export function handlersThat(result: (command: ControlCommand) => unknown, writes: MetaWrite[] = []): ControlHandlers {
  const handle = (command: ControlCommand) => ({ result: result(command), writes });
  return {
    memberAttributes: handle,
    memberUpdate: handle,
    clusterVersion: handle,
    downgrade: handle,
    alarm: handle,
    auth: handle,
  };
}

export const membership: MembershipHandler = {
  check: () => null,
  applied: (_change, confState) => ({ result: confState, writes: [] }),
};
