// What netcd does not have is refused by its name, wherever it is asked for.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type FlagSpec, LISTED_FLAGS, variableOf } from "./flags/index.js";
import { GATES, STAGE_GATES } from "./gates.js";
import { type Loaded, loadConfig } from "./load.js";
import { SUBCOMMANDS } from "./subcommands.js";

const folder = mkdtempSync(join(tmpdir(), "netcd-refused-"));
afterAll(() => rmSync(folder, { recursive: true }));

const reason = (loaded: Loaded) =>
  loaded.kind === "refused" ? loaded.error.message : `not refused but ${loaded.kind}`;

/** A value that asks for what is missing, as a flag has it. */
function asking(flag: FlagSpec): string {
  if (flag.asks === "default") return flag.default;
  if (flag.kind === "bool") return flag.default === "true" ? "false" : "true";
  return { duration: "7s", uint: "7", int: "7", uint32: "7" }[flag.kind as string] ?? "http://h:1";
}

/** The same in a config file. */
function document(flag: FlagSpec): object {
  const text = asking(flag);
  const list = flag.name === "discovery-endpoints";
  const numbers: Readonly<Record<string, unknown>> = { duration: 7e9, uint: 7, int: 7, bool: text === "true" };
  const value = list ? [text] : (numbers[flag.kind] ?? text);
  return (flag.yaml ?? []).reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as object;
}

describe("a flag of what is missing", () => {
  const missing = LISTED_FLAGS.filter((flag) => flag.missing !== null);
  const together = ["discovery-token", "discovery-endpoints"];
  const alone = missing.filter(({ name }) => !together.includes(name)).map((flag) => [flag.name, flag] as const);

  it.each(alone)("--%s is refused by name from every source", (name, flag) => {
    const refusals = [
      reason(loadConfig([`--${name}=${asking(flag)}`], {})),
      reason(loadConfig([], { [variableOf(name)]: asking(flag) })),
    ];
    if (flag.yaml !== null) {
      const path = join(folder, "netcd.json");
      writeFileSync(path, JSON.stringify(document(flag)));
      refusals.push(reason(loadConfig([`--config-file=${path}`], {})));
    }
    expect(new Set(refusals)).toEqual(new Set([`--${name} is not supported: netcd does not have ${flag.missing} yet`]));
  });

  it.each(alone)("--%s is taken where it asks for nothing", (name, flag) => {
    const idle = flag.asks === "default" ? "false" : flag.default;
    expect(loadConfig([`--${name}=${idle}`], {}).kind).toBe("run");
  });

  it("is refused with the one that it needs", () => {
    expect(reason(loadConfig(["--discovery-token=x", "--discovery-endpoints=x"], {}))).toMatch(
      /^--discovery-token is not supported: netcd does not have /,
    );
  });
});

describe("a feature gate of what is missing", () => {
  it.each(GATES.map((gate) => [gate.name, gate] as const))("%s is refused by name, others are taken", (name, gate) => {
    const given = name === "LeaseCheckpointPersist" ? "LeaseCheckpoint=true,LeaseCheckpointPersist" : name;
    const refusal = reason(loadConfig([`--feature-gates=${given}=${!gate.default}`], {}));
    expect(refusal).toBe(
      gate.missing === null
        ? "not refused but run"
        : `--feature-gates: ${name}=${!gate.default} is not supported: netcd does not have ${gate.missing} yet`,
    );
    expect(loadConfig([`--feature-gates=${name}=${gate.default}`], {}).kind).toBe("run");
  });

  it("is refused too where it comes with all of its stage", () => {
    expect(reason(loadConfig(["--feature-gates=AllAlpha=true"], {}))).toMatch(
      /^--feature-gates: \w+=true \(by AllAlpha\) is not/,
    );
    expect(reason(loadConfig([], { ETCD_FEATURE_GATES: "AllBeta=false" }))).toMatch(
      /=false \(by AllBeta\) is not supported/,
    );
    for (const { name } of STAGE_GATES) {
      expect(loadConfig([`--feature-gates=${name}=${name === "AllBeta"}`], {}).kind).toBe("run");
    }
  });
});

describe("a subcommand", () => {
  it.each(SUBCOMMANDS.map(({ name, missing }) => [name, missing] as const))(
    "netcd %s says what is missing",
    (name, missing) => {
      for (const args of [[name], [name, "start"], [name, "--bogus"]]) {
        expect(reason(loadConfig(args, {}))).toBe(`"${name}" is not supported: netcd does not have ${missing} yet`);
      }
      // Only the first argument is one.
      expect(reason(loadConfig(["--name=a", name], {}))).toBe(`"${name}" is not a valid flag`);
    },
  );
});

describe("a flag without effect", () => {
  it("is taken and says so in the log", () => {
    for (const flag of LISTED_FLAGS.filter(({ idle }) => idle !== null)) {
      const value = flag.choices.at(-1) ?? "7";
      const loaded = loadConfig([`--${flag.name}=${value}`], {});
      const notes = loaded.kind === "run" ? loaded.notes.filter(({ level }) => level === "warn") : [];
      expect(notes.some(({ message }) => message.startsWith(`--${flag.name} `))).toBe(true);
    }
  });
});
