// Transcripts from seeds: which of the things that can happen to a leader happen, and in which order.

import type { ConfChange, ConfChangeStep, MemberId } from "../../src/raft/index.js";
import { Random } from "../sim/random.js";
import { own, Recorder, type Recording } from "./recorder.js";

const votersMax = 5;
const learnersMax = 2;
const stepsMin = 20;
const stepsMax = 90;
/** Knows nobody and is known by none. */
const stranger: MemberId = 99n;

type Step = (recorder: Recorder, random: Random) => void;

function anybody({ conf }: Recorder, random: Random): MemberId {
  const others = [...conf.voters, ...conf.learners].filter((id) => id !== own);
  return random.chance(0.05) || others.length === 0 ? stranger : random.pick(others);
}

/** Mostly near the end of the log, where it decides something; at times anywhere, and beyond its end. */
function anyIndex({ last }: Recorder, random: Random): number {
  if (random.chance(0.05)) return last + 1 + random.below(3);
  return random.chance(0.2) ? random.below(last + 1) : Math.max(0, last - random.below(4));
}

/** Mostly of the own term; a late one of the term before; rarely of the next, which ends the leadership. */
function anyTerm({ term }: Recorder, random: Random): number {
  if (random.chance(0.01)) return term + 1;
  return random.chance(0.1) && term > 0 ? term - 1 : term;
}

/** One that the configuration takes and that leaves this member its vote. */
function anyChange({ conf: { voters, learners } }: Recorder, random: Random): ConfChange {
  const others = voters.filter((id) => id !== own);
  const steps: ConfChangeStep[] = [];
  for (const id of learners) steps.push({ type: "addVoter", id }, { type: "remove", id });
  for (const id of others) steps.push({ type: "remove", id }, { type: "addLearner", id });
  for (let id = own; id <= votersMax + learnersMax; id += 1n) {
    if (![...voters, ...learners].includes(id)) steps.push({ type: "addVoter", id }, { type: "addLearner", id });
  }
  const fitting = steps.filter(({ type }) => type !== "addVoter" || voters.length < votersMax);
  return { transition: "auto", steps: [random.pick(fitting)] };
}

/** Most of the others have the whole log: what is committed runs ahead of the own disk. */
const acknowledgeAll: Step = (recorder, random) => {
  const { conf, term, last } = recorder;
  for (const id of [...conf.voters, ...conf.learners]) {
    if (id !== own && random.chance(0.8)) recorder.acknowledge(id, term, last);
  }
};

/** A read comes, and most of the others answer its round. */
const readAndHearAll: Step = (recorder, random) => {
  const { conf, term } = recorder;
  recorder.read();
  for (const id of [...conf.voters, ...conf.learners]) {
    if (id !== own && random.chance(0.8)) recorder.hear(id, term, 0);
  }
};

/** Entries that are not committed give way to another leader's. */
const follow: Step = (recorder, random) => {
  const { committed, last } = recorder;
  const kept = committed + random.below(last - committed + 1);
  recorder.follow(anybody(recorder, random), kept, random.below(3));
};

const steps: [number, Step][] = [
  [16, (recorder) => recorder.propose()],
  [
    36,
    (recorder, random) =>
      recorder.acknowledge(anybody(recorder, random), anyTerm(recorder, random), anyIndex(recorder, random)),
  ],
  [1, (recorder, random) => recorder.reject(anybody(recorder, random), anyIndex(recorder, random))],
  [6, acknowledgeAll],
  [7, (recorder) => recorder.disk()],
  [8, (recorder) => recorder.read()],
  [4, readAndHearAll],
  [
    24,
    (recorder, random) =>
      recorder.hear(anybody(recorder, random), anyTerm(recorder, random), random.chance(0.2) ? 1 : 0),
  ],
  [1, (recorder) => recorder.holdsQuorumGrant && recorder.repeat()],
  [1, (recorder) => recorder.holdsGrant && recorder.withdraw()],
  [1, follow],
  [1, (recorder, random) => recorder.change(anyChange(recorder, random))],
];

const total = steps.reduce((sum, [weight]) => sum + weight, 0);

function anyStep(random: Random): Step {
  let at = random.below(total);
  for (const [weight, step] of steps) {
    at -= weight;
    if (at < 0) return step;
  }
  throw new Error("the weights do not add up");
}

/** The same seed gives the same transcript. */
export function record(seed: number): Recording {
  const random = new Random(seed);
  const voters = 1 + random.below(votersMax);
  const learners = random.below(learnersMax + 1);
  const ids = Array.from({ length: voters + learners }, (_, i) => BigInt(i + 1));
  const conf = {
    voters: ids.slice(0, voters),
    votersOutgoing: [],
    learners: ids.slice(voters),
    learnersNext: [],
    autoLeave: false,
  };
  const recorder = new Recorder(conf, random, random.pick([0.2, 0.9, 1]));
  const count = stepsMin + random.below(stepsMax - stepsMin);
  for (let i = 0; i < count; i += 1) {
    if (!recorder.leads) recorder.lead();
    anyStep(random)(recorder, random);
  }
  return { commands: recorder.commands, expected: recorder.expected };
}
