// The rows about KV: unary load on a small store, then a store of many keys from its fill to its compaction.
import { setTimeout as sleep } from "node:timers/promises";
import { bytesField, framed, h2load, load } from "./load.mjs";
import { measured } from "./measure.mjs";

const valueBytes = 256;
const putBody = framed(
  Buffer.concat([bytesField(1, Buffer.from("bench/unary")), bytesField(2, Buffer.alloc(valueBytes, "v"))]),
);
const rangeBody = framed(bytesField(1, Buffer.from("bench/unary")));
// Of a range that many pages are read before another range is: the last still leaves almost all of it.
const pagesOfSpan = 10;
const slowReadBytesPerSecond = 8 << 20;
const serveWaitSeconds = 120;

/** Counts of work by size; small is for tests that no bench rots. */
export const sizes = {
  small: {
    unary: 2000,
    single: 100,
    singleTurns: 1,
    keys: 3000,
    pages: 20,
    spans: 500,
    span: 1000,
    slowSeconds: 0.3,
    idleSeconds: 0.1,
  },
  medium: {
    unary: 50_000,
    single: 500,
    singleTurns: 3,
    keys: 200_000,
    pages: 30,
    spans: 5000,
    span: 10_000,
    slowSeconds: 3,
    idleSeconds: 2,
  },
  full: {
    unary: 200_000,
    // One client waits most of the time, for a core too: on a machine that others share its mean doubles and halves
    // within some ten seconds, so the servers take short turns.
    single: 1000,
    singleTurns: 5,
    keys: 1_000_000,
    pages: 30,
    spans: 20_000,
    span: 10_000,
    slowSeconds: 10,
    idleSeconds: 5,
  },
};

const many = { connections: 100, streams: 10 };
const one = { connections: 1, streams: 1 };

/** Runs puts and checks by the revision that each was really written: h2load looks at HTTP's status only. */
export async function unaryPuts(server, requests, shape) {
  const before = (await load("revision", server)).extra.revision;
  const result = await measured(server, () =>
    h2load(server, { path: "/etcdserverpb.KV/Put", body: putBody, requests, ...shape }),
  );
  const written = (await load("revision", server)).extra.revision - before;
  if (written !== requests) {
    throw new Error(`${server.label}: ${requests} puts made ${written} revisions`);
  }
  return result;
}

/** Linearizable ranges of the key that those puts wrote. */
export function ranges(server, requests, shape) {
  const calls = { path: "/etcdserverpb.KV/Range", body: rangeBody, answerBytesMin: valueBytes, requests, ...shape };
  return measured(server, () => h2load(server, calls));
}

/**
 * Rows run in order on one store, so later ones find what earlier ones wrote. `needs` names a row that must
 * have run before, `turns` is how often a row is repeated in a round. With `twin` there is a second member of each kind
 * to compare with. `perOperation` is false where the server's CPU went into more than the operations that are counted;
 * `note` adds to the title what is known afterwards only.
 */
export function kvRows(size) {
  const { keys } = size;
  return [
    idleRow(size, "an idle member"),
    {
      name: "puts",
      title: "puts, 100 connections × 10 streams (h2load)",
      figure: "rate",
      target: "≥ ×3, ≤ 15 µs CPU",
      run: (server) => unaryPuts(server, size.unary, many),
    },
    {
      name: "ranges",
      title: "linearizable range of one key, same",
      figure: "rate",
      target: "≥ ×2.5, ≤ 9 µs CPU",
      run: (server) => ranges(server, size.unary, many),
    },
    {
      name: "put-after-put",
      title: "one client, put after put (h2load -c 1 -m 1)",
      figure: "mean",
      target: "≤ ×0.75",
      turns: size.singleTurns,
      run: (server) => unaryPuts(server, size.single, one),
    },
    {
      name: "fill",
      title: `fill ${keys} keys in txns of 100 puts`,
      figure: "rate",
      target: "≥ ×2.5",
      run: (server) => measured(server, () => load("fill", server, { keys, clients: 32, connections: 8 })),
    },
    {
      name: "count",
      title: `${keys} keys: count of the prefix`,
      figure: "p50",
      target: "≤ 1 ms",
      needs: "fill",
      run: (server) =>
        measured(server, () => load("range", server, { keys, "count-only": true, requests: size.pages })),
    },
    {
      name: "page",
      title: `${keys} keys: a page of 500 with count`,
      figure: "p50",
      target: "≤ 5 ms",
      needs: "fill",
      run: (server) => measured(server, () => load("range", server, { keys, limit: 500, requests: size.pages })),
    },
    {
      name: "span",
      title: `page of 10 out of a range of ${size.span}, 10 clients`,
      figure: "rate",
      target: "≥ ×30",
      needs: "fill",
      run: (server) =>
        measured(server, () =>
          load("pages", server, {
            keys,
            span: size.span,
            limit: 10,
            pages: pagesOfSpan,
            requests: size.spans,
            clients: 10,
            connections: 10,
          }),
        ),
    },
    {
      name: "restart",
      title: `restart with ${keys} keys until it serves`,
      figure: "seconds",
      target: "≤ ×0.5",
      perOperation: false,
      needs: "fill",
      run: restart,
    },
    {
      name: "rss",
      title: `RssAnon with ${keys} keys of 41 bytes, after restart`,
      figure: "rss",
      target: "≤ ×0.5",
      perOperation: false,
      needs: "restart",
      run: (server) => measured(server, async () => ({ operations: 1, seconds: 1 })),
    },
    {
      name: "slow-read",
      title: `memory that one Range of all ${keys} keys adds while a slow client reads it`,
      figure: "rssAdded",
      target: "≤ 64 MiB",
      perOperation: false,
      needs: "fill",
      run: (server) =>
        measured(server, () => load("slow-read", server, { rate: slowReadBytesPerSecond, seconds: size.slowSeconds })),
    },
    compaction(keys, "both at their defaults", "compaction", []),
    compaction(keys, "both in slices of 1,000 with pauses of 10 ms", "compaction-equal", equalSlices),
  ];
}

/** The memory of who has nothing to do and never had. */
export function idleRow(size, who, whose = "its") {
  return {
    name: "idle",
    title: `RssAnon of ${who}, ${size.idleSeconds} s after ${whose} start, without keys or clients`,
    figure: "rss",
    target: "–",
    perOperation: false,
    run: async (server) => {
      await sleep(size.idleSeconds * 1000);
      return measured(server, async () => ({ operations: 1, seconds: 1 }));
    },
  };
}

/** etcd's defaults, which netcd takes only when it is told to: by itself it goes at a pace of its own. */
const equalSlices = ["--compaction-batch-limit=1000", "--compaction-sleep-interval=10ms"];

/** A compaction on a member that has started anew with these flags, and where every key was just put again. */
function compaction(keys, how, name, flags) {
  return {
    name,
    title: `compact ${keys} superseded revisions, ${how} (p50 / p99 are of puts meanwhile)`,
    figure: "seconds",
    target: name === "compaction" ? "≤ ×0.2, put p99 ≤ etcd's" : "≤ ×1, put p99 ≤ etcd's",
    perOperation: false,
    needs: "fill",
    prepare: async (server) => {
      await server.relaunch(flags);
      await load("await", server, { seconds: serveWaitSeconds });
      await load("fill", server, { keys, clients: 32, connections: 8 });
    },
    run: async (server) => {
      const result = await measured(server, () => load("compact", server, { clients: 4, connections: 4 }));
      return { ...result, seconds: result.extra.compactSeconds };
    },
  };
}

/** From the start of the process until a linearizable read is answered. */
async function restart(server) {
  await server.stop();
  const awaiting = load("await", server, { seconds: serveWaitSeconds });
  const startedAtMs = server.launch();
  const { extra } = await awaiting;
  const seconds = (extra.servesAtMs - startedAtMs) / 1000;
  return measured(server, async () => ({ operations: 1, seconds }));
}
