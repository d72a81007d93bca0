// When a refused write raises the alarm.

import { beforeEach, expect, it } from "vitest";
import { Alarms, AlarmType } from "../cluster/alarms.js";
import { Logger } from "../log/logger.js";
import type { AlarmChange } from "../services/context.js";
import { NoSpaceAlarm } from "./nospace.js";

const OWN = 7n;
let alarms: Alarms;
let lines: string[];
let changes: AlarmChange[];
let outcome: () => Promise<null>;
/** How many alarms were set at each answer to the refused writes. */
let answered: number[];

beforeEach(() => {
  alarms = new Alarms();
  lines = [];
  changes = [];
  outcome = async () => null;
  answered = [];
});

function alarm(): NoSpaceAlarm {
  return new NoSpaceAlarm({
    memberId: OWN,
    alarms,
    quotaBytes: 16_000_000,
    changeAlarm: (change) => {
      changes.push(change);
      return outcome();
    },
    answerRefused: () => void answered.push(alarms.list().length),
    log: new Logger({
      level: "info",
      format: "json",
      outputs: [{ write: (line) => void lines.push(line), close: () => {} }],
    }),
  });
}

it("proposes the alarm of this member once for refusals that come together", async () => {
  const raised = alarm();
  await Promise.all([raised.quotaExceeded(), raised.quotaExceeded()]);
  expect(changes).toEqual([{ action: "activate", memberId: OWN, alarm: AlarmType.NoSpace }]);
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "warn",
    msg: "message exceeded backend quota; raising alarm",
    "quota-size-bytes": 16_000_000,
    "quota-size": "16 MB",
    error: "etcdserver: mvcc: database space exceeded",
  });
});

it("answers refused writes when the alarm is set, those that came meanwhile too", async () => {
  let applied = () => {};
  outcome = () =>
    new Promise((resolve) => {
      applied = () => {
        alarms.activate({ memberId: OWN, type: AlarmType.NoSpace });
        resolve(null);
      };
    });
  const raised = alarm();
  const first = raised.quotaExceeded();
  const second = raised.quotaExceeded();
  await Promise.resolve();
  expect(answered).toEqual([]);
  applied();
  await Promise.all([first, second, raised.quotaExceeded()]);
  expect(changes).toHaveLength(1);
  expect(answered).toEqual([1, 1, 1]);
});

it("proposes nothing while the own alarm is set, whatever the others' are", async () => {
  alarms.activate({ memberId: 8n, type: AlarmType.NoSpace });
  alarms.activate({ memberId: OWN, type: AlarmType.Corrupt });
  await alarm().quotaExceeded();
  expect(changes).toHaveLength(1);
  alarms.activate({ memberId: OWN, type: AlarmType.NoSpace });
  await alarm().quotaExceeded();
  expect(changes).toHaveLength(1);
});

it("tries again at the next refusal when the proposal failed", async () => {
  const raised = alarm();
  outcome = () => Promise.reject(new Error("etcdserver: request timed out"));
  await raised.quotaExceeded();
  expect(answered).toEqual([0]);
  outcome = async () => null;
  await raised.quotaExceeded();
  expect(changes).toHaveLength(2);
  expect(lines.map((line) => JSON.parse(line).msg)).toContain("failed to raise alarm");
});
