// The rows about KV: unary load on a small store, then a store of many keys from its fill to its compaction.
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
    singleRounds: 1,
    keys: 3000,
    pages: 20,
    spans: 500,
    span: 1000,
    slowSeconds: 0.3,
    rounds: 1,
  },
  full: {
    unary: 200_000,
    // One client waits most of the time, for a core too: on a machine that others share its mean doubles and halves
    // within some ten seconds, so the servers take short turns.
    single: 1000,
    singleRounds: 15,
    keys: 1_000_000,
    pages: 30,
    spans: 20_000,
    span: 10_000,
    slowSeconds: 10,
    rounds: 3,
  },
};

const many = { connections: 100, streams: 10 };
const one = { connections: 1, streams: 1 };

/** Runs puts and checks by the revision that each was really written: h2load looks at HTTP's status only. */
async function unaryPuts(server, requests, shape) {
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

/**
 * Rows run in order on one store, so later ones find what earlier ones wrote. `needs` names a row that must
 * have run before, `rounds` is how often a row is repeated, the servers taking turns; with `spread` the least and the
 * most of them are shown. With `twin` there is a second member of each kind to compare with. `perOperation` is false
 * where the server's CPU went into more than the operations that are counted.
 */
export function kvRows(size) {
  const { keys } = size;
  return [
    {
      name: "puts",
      title: "puts, 100 connections × 10 streams (h2load)",
      figure: "rate",
      target: "≥ ×3, ≤ 15 µs CPU",
      rounds: size.rounds,
      run: (server) => unaryPuts(server, size.unary, many),
    },
    {
      name: "ranges",
      title: "linearizable range of one key, same",
      figure: "rate",
      target: "≥ ×2.5, ≤ 9 µs CPU",
      rounds: size.rounds,
      run: (server) =>
        measured(server, () =>
          h2load(server, { path: "/etcdserverpb.KV/Range", body: rangeBody, requests: size.unary, ...many }),
        ),
    },
    {
      name: "put-after-put",
      title: "one client, put after put (h2load -c 1 -m 1)",
      figure: "mean",
      target: "≤ ×0.75",
      rounds: size.singleRounds,
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
      rounds: size.rounds,
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
    {
      name: "compaction",
      title: `compact ${keys} superseded revisions (p50 / p99 are of puts meanwhile)`,
      figure: "seconds",
      target: "≤ ×0.2, put p99 ≤ etcd's",
      perOperation: false,
      needs: "fill",
      prepare: (server) => load("fill", server, { keys, clients: 32, connections: 8 }),
      run: (server) => measured(server, () => load("compact", server, { clients: 4, connections: 4 })),
    },
  ];
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
