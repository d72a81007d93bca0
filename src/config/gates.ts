// Feature gates: experimental behaviour that is switched by name.

import { parseBool } from "./bool.js";

export interface Gate {
  readonly name: string;
  readonly stage: "ALPHA" | "BETA";
  readonly default: boolean;
  /** What the gate does in netcd, for docs/compatibility.md. */
  readonly here: string;
  /** Set while netcd lacks what the other value than the default asks for: that value is then refused with this name. */
  readonly missing: string | null;
}

const gate = (name: string, stage: Gate["stage"], on: boolean, here: string, missing: string | null = null): Gate => ({
  name,
  stage,
  default: on,
  here,
  missing,
});

/** Every gate of etcd but the two that stand for all of a stage. */
export const GATES: readonly Gate[] = [
  gate("CompactHashCheck", "ALPHA", false, "Off.", "checks of compaction hashes"),
  gate(
    "FastLeaseKeepAlive",
    "BETA",
    true,
    "Always on: a renewal does not wait for the applied index.",
    "renewals that wait for the applied index",
  ),
  gate("InitialCorruptCheck", "ALPHA", false, "Accepted; no effect yet."),
  gate("LeaseCheckpoint", "ALPHA", false, "Switches it. What is left of a lease outlives a restart, too."),
  gate(
    "LeaseCheckpointPersist",
    "ALPHA",
    false,
    "Asks for LeaseCheckpoint, as in etcd; no other effect, since LeaseCheckpoint alone keeps what is left of a lease.",
  ),
  gate("PriorityRequest", "ALPHA", false, "Off.", "requests that pass others under overload"),
  gate("SetMemberLocalAddr", "ALPHA", false, "Off.", "outgoing peer connections from the advertised address"),
  gate(
    "StopGRPCServiceOnDefrag",
    "ALPHA",
    false,
    "Off: a member serves while it is defragmented.",
    "a health service that stops during defragmentation",
  ),
  gate(
    "TxnModeWriteWithSharedBuffer",
    "BETA",
    true,
    "No effect: it chooses between two ways to the same answers inside of etcd's backend, which netcd does not have.",
  ),
];

/** The gates that stand for all of a stage. */
export const STAGE_GATES = [
  { name: "AllAlpha", stage: "ALPHA" },
  { name: "AllBeta", stage: "BETA" },
] as const;

/** What `--feature-gates` named, in its order. Throws Error with etcd's text. */
export function parseGates(text: string): Map<string, boolean> {
  const given = new Map<string, boolean>();
  for (const part of text.split(",").map((item) => item.trim())) {
    if (part === "") continue;
    const [name = "", value] = part.split("=", 2).map((item) => item.trim());
    if (value === undefined) throw new Error(`missing bool value for ${name}`);
    const on = parseBool(value);
    if (on === null) {
      throw new Error(`invalid value of ${name}=${value}, err: strconv.ParseBool: parsing "${value}": invalid syntax`);
    }
    if (![...STAGE_GATES, ...GATES].some((known) => known.name === name)) {
      throw new Error(`unrecognized feature gate: ${name}`);
    }
    given.set(name, on);
  }
  return given;
}

/** Whether each gate is on; a gate's own name goes before that of its stage. */
export function resolveGates(given: ReadonlyMap<string, boolean>): Map<string, boolean> {
  const whole = new Map(STAGE_GATES.map(({ name, stage }) => [stage, given.get(name)]));
  const each = GATES.map(({ name, stage, default: fallback }): [string, boolean] => [
    name,
    given.get(name) ?? whole.get(stage) ?? fallback,
  ]);
  return new Map([...STAGE_GATES.map(({ name }): [string, boolean] => [name, given.get(name) ?? false]), ...each]);
}
