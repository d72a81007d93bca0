// The rows about watches and leases.
import { load } from "./load.mjs";
import { measured } from "./measure.mjs";

export const sizes = {
  small: {
    watchers: 20,
    fanPuts: 20,
    delaySeconds: 0.5,
    idle: 200,
    idlePuts: 200,
    back: 3000,
    alonePuts: 200,
    keepAlives: 5,
    leases: 200,
    rounds: 1,
  },
  full: {
    watchers: 1000,
    fanPuts: 200,
    delaySeconds: 10,
    idle: 10_000,
    idlePuts: 20_000,
    back: 1_000_000,
    alonePuts: 20_000,
    keepAlives: 1000,
    leases: 100_000,
    rounds: 3,
  },
};

export function watchRows(size) {
  const filled = new Set();
  const putShape = { clients: 16, connections: 4 };
  return [
    {
      // First, while the server has no memory left over from other work.
      name: "watch-memory",
      title: `RssAnon that ${size.idle} idle watchers add, for each`,
      figure: "rssEach",
      target: "≤ 1 KB",
      run: async (server) => {
        const result = await measured(server, () =>
          load("watch-idle", server, { streams: 10, watchers: size.idle / 10, requests: 1, ...putShape }),
        );
        return { ...result, rssEachBytes: result.rssAnonAddedBytes / size.idle };
      },
    },
    {
      name: "watch-fan",
      title: `${size.watchers} watchers × ${size.fanPuts} puts on one prefix`,
      figure: "rate",
      target: "≥ ×1, ≤ ⅓ CPU",
      rounds: size.rounds,
      run: (server) =>
        measured(server, () =>
          load("watch-fan", server, { watchers: size.watchers, requests: size.fanPuts, "value-bytes": 256 }),
        ),
    },
    {
      name: "watch-delay",
      title: `10 streams × ${size.watchers / 10} watchers, 100 puts/s: from put to event`,
      figure: "p50",
      target: "≤ ×0.33, p99 too",
      run: (server) =>
        measured(server, () =>
          load("watch-delay", server, {
            streams: 10,
            watchers: size.watchers / 10,
            rate: 100,
            seconds: size.delaySeconds,
          }),
        ),
    },
    {
      name: "watch-none",
      title: "puts elsewhere without watchers (for the next row)",
      figure: "rate",
      target: "–",
      rounds: size.rounds,
      run: (server) => measured(server, () => load("put", server, { requests: size.idlePuts, ...putShape })),
    },
    {
      name: "watch-idle",
      title: `puts elsewhere with ${size.idle} idle watchers on distinct keys`,
      figure: "rate",
      target: "within 5 % of none",
      needs: "watch-none",
      rounds: size.rounds,
      run: (server) =>
        measured(server, () =>
          load("watch-idle", server, { streams: 10, watchers: size.idle / 10, requests: size.idlePuts, ...putShape }),
        ),
    },
    {
      name: "watch-alone",
      title: `puts of 4 clients with ${size.back} revisions in the store (for the next row)`,
      figure: "p99",
      target: "–",
      rounds: size.rounds,
      prepare: async (server) => {
        if (!filled.has(server)) {
          filled.add(server);
          await load("fill", server, { keys: size.back, txn: 1, clients: 256, connections: 8 });
        }
      },
      run: (server) =>
        measured(server, () => load("put", server, { requests: size.alonePuts, clients: 4, connections: 4 })),
    },
    {
      name: "watch-back",
      title: `the same puts while a watcher resumes ${size.back} revisions back`,
      figure: "p99",
      target: "≤ ×2 of without",
      needs: "watch-alone",
      rounds: size.rounds,
      run: (server) => measured(server, () => load("watch-back", server, { clients: 4, connections: 4 })),
    },
    {
      name: "keep-alive",
      title: "lease keep-alive, 100 clients on 10 connections",
      figure: "rate",
      target: "≥ ×2, ≤ ⅓ CPU",
      rounds: size.rounds,
      run: (server) =>
        measured(server, () =>
          load("keep-alive", server, { clients: 100, connections: 10, requests: size.keepAlives }),
        ),
    },
    {
      name: "lease-many",
      title: `${size.leases} leases granted, attached, revoked`,
      figure: "rate",
      target: "≥ ×3",
      run: (server) =>
        measured(server, () => load("lease-many", server, { keys: size.leases, clients: 256, connections: 8 })),
    },
  ];
}
