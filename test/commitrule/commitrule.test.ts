// The commit rule stands in src/raft, in the pipeline (native/engine/src/pipeline/lead.rs) and in the simulation's model
// of it (test/sim/fakes/leading.ts). The same transcripts run against all three, and what comes of them must not differ:
// otherwise it would be the model that the simulation tests.
//
// COMMIT_SEED=17 COMMIT_COUNT=1 chooses the seeds.

import { beforeAll, expect, test } from "vitest";
import { depth } from "../depth.js";
import { decided, formatCommand, formatDecided, type Outcome } from "./commands.js";
import { record } from "./generate.js";
import { playOnModel } from "./model.js";
import { buildPlayer, playOnPipeline } from "./pipeline.js";
import type { Recording } from "./recorder.js";

const count = Number(process.env["COMMIT_COUNT"] ?? depth(20_000));
const firstSeed = Number(process.env["COMMIT_SEED"] ?? 1);
const buildMsMax = 600_000;

let player = "";

beforeAll(async () => {
  player = await buildPlayer();
}, buildMsMax);

interface Played extends Recording {
  seed: number;
  model: string[];
  pipeline: string[];
}

/** null: all three came to the same. Else the transcript up to where they did not. */
function difference({ seed, commands, expected, model, pipeline }: Played): string | null {
  const at = commands.findIndex((_, i) => {
    const raft = formatDecided(expected[i] ?? { committed: -1, reads: [] });
    return model[i] !== pipeline[i] || raft !== decided(model[i] ?? "");
  });
  if (at < 0)
    return model.length === commands.length && pipeline.length === commands.length ? null : `seed ${seed} ends`;
  const before = commands.slice(0, at + 1).map((command, i) => `${formatCommand(command)}  → ${model[i]}`);
  const outcomes = [
    `raft: ${formatDecided(expected[at] ?? { committed: -1, reads: [] })}`,
    `model: ${model[at]}`,
    `pipeline: ${pipeline[at]}`,
  ];
  return [`seed ${seed}`, ...before, ...outcomes].join("\n");
}

test("raft, the pipeline and the simulation's model come to the same", { timeout: 600_000 }, async () => {
  const seeds = Array.from({ length: count }, (_, i) => firstSeed + i);
  const recordings = seeds.map(record);
  const pipeline = await playOnPipeline(
    player,
    recordings.map(({ commands }) => commands),
  );
  const played = recordings.map((recording, i): Played => {
    const model = playOnModel(recording.commands);
    return { ...recording, seed: seeds[i] ?? 0, model, pipeline: pipeline[i] ?? [] };
  });
  const differences = played.map(difference).filter((text) => text !== null);
  expect(differences.length, differences[0]).toBe(0);
});

test("the transcripts hold what the rule is about", () => {
  const happened = new Map<string, number>();
  for (let seed = 1; seed <= 1_000; seed += 1) {
    const { commands, expected } = record(seed);
    let committed = 0;
    let granted: "no" | "sole" | "quorum" = "no";
    const note = (what: string) => happened.set(what, (happened.get(what) ?? 0) + 1);
    for (const [i, command] of commands.entries()) {
      note(command.do);
      const { committed: now, reads } = expected[i] as Outcome;
      if (command.do === "grant") granted = command.quorum === null ? "sole" : "quorum";
      if (command.do === "withdraw") granted = "no";
      if (now > committed) note(`${command.do} commits, grant ${granted}`);
      if (reads.length > 0) note(`${command.do} answers reads, grant ${granted}`);
      committed = now;
    }
  }
  const wanted = [
    ...["persist", "stamp", "stream", "withdraw", "reject", "repeat", "failed"],
    ...[
      "ack commits, grant quorum",
      "disk commits, grant quorum",
      "disk commits, grant sole",
      "commit commits, grant no",
    ],
    ...["heard answers reads, grant quorum", "read answers reads, grant sole", "ready answers reads, grant no"],
    "disk answers reads, grant quorum",
  ];
  for (const what of wanted) expect(happened.get(what) ?? 0, what).toBeGreaterThan(5);
  expect(record(1).commands).toEqual(record(1).commands);
});
