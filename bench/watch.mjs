// The rows about watches and leases.
import { holding, load } from "./load.mjs";
import { measured } from "./measure.mjs";

export const sizes = {
  small: {
    watchers: 20,
    fanPuts: 20,
    delaySeconds: 0.5,
    idle: 200,
    idleSeconds: 0.1,
    idleTurns: 1,
    back: 3000,
    backSeconds: 1,
    alonePuts: 200,
    keepAlives: 5,
    leases: 200,
  },
  medium: {
    watchers: 1000,
    fanPuts: 50,
    delaySeconds: 5,
    idle: 10_000,
    idleSeconds: 2,
    idleTurns: 2,
    back: 200_000,
    backSeconds: 5,
    alonePuts: 5000,
    keepAlives: 300,
    leases: 20_000,
  },
  full: {
    watchers: 1000,
    fanPuts: 200,
    delaySeconds: 10,
    idle: 10_000,
    idleSeconds: 3.5,
    idleTurns: 2,
    back: 1_000_000,
    backSeconds: 10,
    alonePuts: 10_000,
    keepAlives: 1000,
    leases: 100_000,
  },
};

export function watchRows(size) {
  const filled = new Set();
  const idleWatchers = { streams: 10, watchers: size.idle / 10 };
  return [
    {
      // First, while the server has no memory left over from other work.
      name: "watch-memory",
      title: `RssAnon that ${size.idle} idle watchers add, for each`,
      figure: "rssEach",
      target: "≤ 1 KB",
      perOperation: false,
      run: async (server) => {
        const result = await measured(server, () =>
          holding("watch-idle", server, idleWatchers, () => ({ operations: size.idle })),
        );
        return { ...result, rssEachBytes: result.rssAnonAddedBytes / size.idle };
      },
    },
    {
      name: "watch-fan",
      title: `${size.watchers} watchers × ${size.fanPuts} puts on one prefix`,
      figure: "rate",
      target: "≥ ×1, ≤ ⅓ CPU",
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
      // On a machine that is shared, the same puts without a change differ by 15 % from one half-second to the next. Hence
      // turns of a tenth of a second between two members of a kind, of which one has the watchers, then the other; and so
      // many clients that the processor is the limit, not the disk. Another process holds the watchers.
      name: "watch-idle",
      title:
        `rate of puts (256 clients) with ${size.idle} idle watchers on distinct keys, of that without, in short turns ` +
        `(${2 * size.idleSeconds} s each)`,
      figure: "kept",
      target: "≥ 95 %",
      turns: size.idleTurns,
      twin: true,
      run: async (server, twin) => {
        const shape = { seconds: size.idleSeconds, clients: 256, connections: 8 };
        const beside = (watched, other) =>
          holding("watch-idle", watched, idleWatchers, () =>
            measured(watched, () => load("put-turns", watched, { other: other.endpoint, ...shape })),
          );
        const result = await beside(server, twin);
        const swapped = await beside(twin, server);
        return {
          ...result,
          generatorCpuUs: (result.generatorCpuSeconds * 1e6) / result.extra.operationsOfBoth,
          // What makes one member faster than the other but the watchers is in both ratios and cancels out.
          kept: Math.sqrt(result.extra.ratio * swapped.extra.ratio),
        };
      },
    },
    {
      name: "watch-back",
      title: `p99 of puts while a watcher resumes ${size.back} revisions back, of that without`,
      figure: "slower",
      target: "≤ ×2",
      perOperation: false,
      prepare: async (server) => {
        if (!filled.has(server)) {
          filled.add(server);
          await load("fill", server, { keys: size.back, txn: 1, clients: 256, connections: 8 });
        }
      },
      run: async (server) => {
        const shape = { clients: 4, connections: 4 };
        const without = await load("put", server, { requests: size.alonePuts, ...shape });
        const result = await measured(server, () =>
          load("watch-back", server, { seconds: size.backSeconds, ...shape }),
        );
        return { ...result, slower: result.p99Ms / without.p99Ms };
      },
    },
    {
      name: "keep-alive",
      title: "lease keep-alive, 100 clients on 10 connections",
      figure: "rate",
      target: "≥ ×2, ≤ ⅓ CPU",
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
