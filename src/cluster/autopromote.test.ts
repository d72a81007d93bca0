import { beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../replica/clock.js";
import { AutoPromotion } from "./autopromote.js";
import { Membership } from "./membership.js";

let membership: Membership;
let lines: string[];
let promoted: bigint[];
let leads: boolean;
let caughtUp: Set<bigint>;
let answer: () => Promise<void>;
let ticks: (() => void)[];

const clock: Clock = {
  nowMs: () => 0,
  after: () => ({ cancel() {} }),
  every: (_ms, call) => {
    ticks.push(call);
    return { cancel: () => void ticks.splice(ticks.indexOf(call), 1) };
  },
};

function promotion(): AutoPromotion {
  return new AutoPromotion({
    replica: {
      get isLeader() {
        return leads;
      },
    },
    membership,
    changes: {
      isCaughtUp: (id) => caughtUp.has(id),
      promoteHere: (id) => {
        promoted.push(id);
        return answer();
      },
    },
    clock,
    log: { info: (text) => void lines.push(text), warn: (text) => void lines.push(text) },
  });
}

const learner = (id: bigint, name: string) =>
  membership.put({ id, name, peerUrls: [], clientUrls: [], isLearner: true });

beforeEach(() => {
  membership = new Membership(7n);
  membership.put({ id: 1n, name: "m1", peerUrls: [], clientUrls: [], isLearner: false });
  lines = [];
  promoted = [];
  ticks = [];
  leads = true;
  caughtUp = new Set([1n, 2n, 3n]);
  answer = async () => {};
});

describe("the leader", () => {
  it("promotes one learner at a look: the first that runs and has caught up", async () => {
    learner(2n, "");
    learner(3n, "m3");
    learner(4n, "m4");
    await promotion().look();
    expect(promoted).toEqual([3n]);
    expect(lines).toEqual(["promoted a learner that has caught up"]);
  });

  it("tries again later after a refusal, and not before there is an answer", async () => {
    learner(2n, "m2");
    let refuse: (error: Error) => void = () => {};
    answer = () =>
      new Promise((_, reject) => {
        refuse = reject;
      });
    const one = promotion();
    const first = one.look();
    await one.look();
    expect(promoted).toEqual([2n]);
    refuse(new Error("unhealthy"));
    await first;
    expect(lines).toEqual(["failed to promote a learner that has caught up"]);
    answer = async () => {};
    await one.look();
    expect(promoted).toEqual([2n, 2n]);
  });

  it("stops looking when it is told to", () => {
    const one = promotion();
    one.start();
    expect(ticks).toHaveLength(1);
    one.stop();
    expect(ticks).toHaveLength(0);
  });
});

it("a follower promotes nobody", async () => {
  leads = false;
  learner(2n, "m2");
  await promotion().look();
  expect(promoted).toEqual([]);
});
