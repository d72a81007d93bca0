// The rows about users and roles: what it costs a put and a range to be checked, logins, many users, the audit log.
import { generateKeyPairSync } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ranges, unaryPuts } from "./kv.mjs";
import { load } from "./load.mjs";
import { measured, summary } from "./measure.mjs";
import { clockTicksPerSecond } from "./server.mjs";

/** Counts of work by size. Whoever has two of so many roles with half the ranges each is a user of many. */
export const sizes = {
  small: {
    unary: 2000,
    turns: 1,
    loginSeconds: 0.3,
    besideSeconds: 0.5,
    besideTurns: 1,
    users: 40,
    roles: 10,
    ranges: 4,
    changes: 2,
    alonePuts: 200,
    idleSeconds: 0.1,
    audited: 1000,
  },
  medium: {
    unary: 20_000,
    turns: 3,
    loginSeconds: 5,
    besideSeconds: 5,
    besideTurns: 2,
    users: 1000,
    roles: 50,
    ranges: 50,
    changes: 10,
    alonePuts: 5000,
    idleSeconds: 2,
    audited: 50_000,
  },
  full: {
    unary: 100_000,
    turns: 5,
    loginSeconds: 10,
    besideSeconds: 10,
    besideTurns: 2,
    users: 10_000,
    roles: 200,
    ranges: 50,
    changes: 10,
    alonePuts: 10_000,
    idleSeconds: 5,
    audited: 200_000,
  },
};

const serveWaitSeconds = 120;
const many = { connections: 100, streams: 10 };
const few = { clients: 4, connections: 4 };
const loginsPerSecond = 200;
// Made by auth-setup of bench/load, with their names as passwords.
const root = "root:root";
const user = "bench:bench";
const jwtKeyBits = 2048;
const auditWaitMsMax = 30_000;
const auditWaitMs = 200;
// Every write has a line: one that found no room for its line would make the log cheaper, so it waits instead.
const auditPolicy = { whenFull: "block", rules: [{ verbs: ["write"], level: "metadata" }] };

const simple = { name: "simple", called: "a simple token", flags: () => [] };
const jwt = { name: "jwt", called: "a JWT (RS256)", flags: jwtFlags };
let jwtKeys;

function jwtFlags({ directory }) {
  jwtKeys ??= generateKeyPairSync("rsa", {
    modulusLength: jwtKeyBits,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const [publicFile, privateFile] = [join(directory, "jwt.pub"), join(directory, "jwt.key")];
  writeFileSync(publicFile, jwtKeys.publicKey);
  writeFileSync(privateFile, jwtKeys.privateKey);
  return [`--auth-token=jwt,sign-method=RS256,pub-key=${publicFile},priv-key=${privateFile},ttl=1h`];
}

const withUsers = new WeakSet();

/** Has it run with these flags, and know the two users. */
async function ready(server, flags) {
  if (String(server.options.flags ?? []) !== String(flags)) {
    await restarted(server, flags);
  }
  if (!withUsers.has(server)) {
    await load("auth-setup", server);
    withUsers.add(server);
  }
}

async function restarted(server, flags) {
  await server.relaunch(flags);
  await load("await", server, { seconds: serveWaitSeconds });
}

async function switchOn(server) {
  if (server.user === undefined) {
    await load("auth-on", server);
    server.user = user;
  }
}

async function switchOff(server) {
  if (server.user !== undefined) {
    await load("auth-off", server, { user: root });
    server.user = undefined;
  }
}

/** CPU of all turns; the clock ticks so seldom that it may have none, which is less than one tick. */
function cpuSecondsOf(turns) {
  const seconds = turns.reduce((sum, { cpuUs, operations }) => sum + (cpuUs * operations) / 1e6, 0);
  return Math.max(seconds, 1 / clockTicksPerSecond);
}

/** The same work in turns, as a user and without auth, on one member: what it is as a user, and what CPU it costs more. */
async function asUser(server, turns, work) {
  const sides = { on: [], off: [] };
  await switchOff(server);
  // What is only so at first is in neither side.
  await work(undefined);
  for (let turn = 0; turn < turns; turn++) {
    for (const side of turn % 2 === 0 ? ["off", "on"] : ["on", "off"]) {
      await (side === "on" ? switchOn : switchOff)(server);
      const token = side === "on" ? (await load("token", server)).token : undefined;
      sides[side].push(await work(token));
    }
  }
  const { each: _turns, ...figures } = summary(sides.on);
  return { ...figures, costs: cpuSecondsOf(sides.on) / cpuSecondsOf(sides.off) };
}

/**
 * Rows run in order on one member. `also` are more figures of the same work, in rows of their own, and `only` names the
 * one that has what a row is about.
 */
export function authRows(size) {
  return [
    ...tokenRows(size, simple, "≤ 105 %"),
    loginRow(size),
    loginPutsRow(size),
    auditRow(size),
    ...tokenRows(size, jwt, "≤ 108 %"),
    ...manyUsersRows(size),
  ];
}

function tokenRows(size, token, cpuTarget) {
  const row = (work, called, run) => ({
    name: `${work}-${token.name}`,
    title: `${called} with ${token.called}, 100 connections × 10 streams (h2load)`,
    figure: "rate",
    target: "≥ ×5",
    also: [{ title: `server CPU of that, of the same without auth`, figure: "costs", target: `netcd ${cpuTarget}` }],
    prepare: (server) => ready(server, token.flags(server)),
    run: (server) => asUser(server, size.turns, (token) => run(server, size.unary, { ...many, token })),
  });
  return [
    row("puts", "puts", unaryPuts),
    { ...row("ranges", "linearizable ranges of one key", ranges), needs: "puts-simple" },
  ];
}

function loginRow(size) {
  return {
    name: "logins",
    title: "logins with the same password again (cost 10), 16 clients on 4 connections",
    figure: "rate",
    target: "≥ ×20",
    prepare: (server) => ready(server, simple.flags()),
    run: async (server) => {
      await switchOn(server);
      return measured(server, () => load("login", server, { seconds: size.loginSeconds, clients: 16, connections: 4 }));
    },
  };
}

function loginPutsRow(size) {
  const perSecond = ({ extra }) => extra.loginsPerSecond.toFixed(0);
  return {
    name: "login-puts",
    title: `p99 of puts (4 clients) beside ${loginsPerSecond} logins a second, of that without`,
    note: ({ netcd, etcd }) => `; of the logins netcd answered ${perSecond(netcd)}/s, etcd ${perSecond(etcd)}/s`,
    figure: "slower",
    target: "≤ ×2",
    perOperation: false,
    turns: size.besideTurns,
    prepare: (server) => ready(server, simple.flags()),
    run: async (server) => {
      await switchOn(server);
      const shape = { ...few, seconds: size.besideSeconds };
      const without = await load("login-puts", server, shape);
      const result = await measured(server, () => load("login-puts", server, { ...shape, rate: loginsPerSecond }));
      return { ...result, slower: result.p99Ms / without.p99Ms };
    },
  };
}

/** Two members take turns, and each is the one with an audit log once: what makes one faster but that cancels out. */
function auditRow(size) {
  return {
    name: "audit",
    title: "server CPU of a put that is written to the audit log (netcd's own), of that without",
    figure: "costs",
    target: "≤ 105 %",
    only: "netcd",
    twin: true,
    run: async (server, twin) => {
      const sides = { on: [], off: [] };
      for (const [audited, plain] of [
        [server, twin],
        [twin, server],
      ]) {
        const log = await auditing(audited);
        await ready(plain, []);
        await switchOn(plain);
        for (let turn = 0; turn <= size.turns; turn++) {
          const on = await putsAs(audited, size.audited);
          const off = await putsAs(plain, size.audited);
          // The first is for what is only so after a start.
          if (turn > 0) {
            sides.on.push(on);
            sides.off.push(off);
          }
        }
        await requireLines(log, (size.turns + 1) * size.audited);
      }
      const { each: _turns, ...figures } = summary(sides.on);
      return { ...figures, costs: cpuSecondsOf(sides.on) / cpuSecondsOf(sides.off) };
    },
  };
}

/** Has it write an audit log; the file. */
async function auditing(server) {
  const [log, policy] = [join(server.directory, "audit.log"), join(server.directory, "policy.json")];
  writeFileSync(policy, JSON.stringify(auditPolicy));
  await ready(server, [`--audit-log-path=${log}`, `--audit-policy-file=${policy}`, "--audit-log-maxsize=0"]);
  await switchOn(server);
  return log;
}

async function putsAs(server, requests) {
  const { token } = await load("token", server);
  return unaryPuts(server, requests, { ...many, token });
}

/** Throws unless the log has a line for each of so many puts, when what was on its way has come. */
async function requireLines(log, puts) {
  const until = performance.now() + auditWaitMsMax;
  let lines = await linesOf(log);
  while (lines < puts) {
    if (performance.now() > until) {
      throw new Error(`the audit log has ${lines} lines for ${puts} puts`);
    }
    await sleep(auditWaitMs);
    lines = await linesOf(log);
  }
}

async function linesOf(file) {
  let lines = 0;
  for await (const chunk of createReadStream(file)) {
    lines += chunk.reduce((count, byte) => count + (byte === 10 ? 1 : 0), 0);
  }
  return lines;
}

function manyUsersRows(size) {
  const who = `${size.users} users with ${2 * size.ranges} ranges each, of two of ${size.roles} roles`;
  return [
    {
      name: "many-users",
      title: `RssAnon that ${who}, add after a restart`,
      figure: "rssAdded",
      target: "≤ 64 MiB",
      perOperation: false,
      prepare: (server) => ready(server, simple.flags()),
      run: async (server) => {
        await switchOn(server);
        const idle = async () => {
          await restarted(server, simple.flags());
          await sleep(size.idleSeconds * 1000);
          return measured(server, async () => ({ operations: size.users, seconds: 1 }));
        };
        const before = await idle();
        await makeUsers(server, size);
        const result = await idle();
        return { ...result, rssAnonAddedBytes: Math.max(0, result.rssAnonBytes - before.rssAnonBytes) };
      },
    },
    {
      name: "many-changes",
      title: `a change of a role while there are ${who} (p50 / p99 are of another's puts meanwhile)`,
      figure: "change",
      target: "≤ 50 ms",
      also: [{ title: "p99 of those puts, of that without changes", figure: "slower", target: "–" }],
      perOperation: false,
      needs: "many-users",
      run: async (server) => {
        const without = await load("put", server, { ...few, requests: size.alonePuts });
        const result = await measured(server, () =>
          load("auth-change", server, { ...few, user: root, requests: size.changes }),
        );
        return { ...result, slower: result.p99Ms / without.p99Ms };
      },
    },
  ];
}

/** etcd compiles all users anew at each change, so that the calls that make so many would take hours. */
async function makeUsers(server, { users, roles, ranges }) {
  const shape = { users, roles, ranges };
  if (server.label === "netcd") {
    await load("auth-fill", server, { ...shape, user: root, clients: 64, connections: 4 });
    return;
  }
  const database = join(server.dataDirectory, "member/snap/db");
  await server.stop();
  await load("auth-seed", server, { ...shape, user: undefined, database });
  server.launch();
}
