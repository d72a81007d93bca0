// Feature gates: experimental behaviour that is switched by name.

import { parseBool } from "./bool.js";

export interface Gate {
  readonly name: string;
  readonly stage: "ALPHA" | "BETA";
  readonly default: boolean;
  /** False while netcd has nothing to switch: the gate can then only keep its default. */
  readonly available: boolean;
}

const gate = (name: string, stage: Gate["stage"], on: boolean, available: boolean): Gate => ({
  name,
  stage,
  default: on,
  available,
});

/** Every gate of etcd but the two that stand for all of a stage. */
export const GATES: readonly Gate[] = [
  gate("CompactHashCheck", "ALPHA", false, false),
  gate("FastLeaseKeepAlive", "BETA", true, true),
  gate("InitialCorruptCheck", "ALPHA", false, false),
  gate("LeaseCheckpoint", "ALPHA", false, true),
  gate("LeaseCheckpointPersist", "ALPHA", false, true),
  gate("PriorityRequest", "ALPHA", false, false),
  gate("SetMemberLocalAddr", "ALPHA", false, false),
  gate("StopGRPCServiceOnDefrag", "ALPHA", false, false),
  gate("TxnModeWriteWithSharedBuffer", "BETA", true, true),
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
