// The rows with an ordinary client: etcd's own Go client, as programs use it. Most of the time it costs more than the
// server does, so these rows say what a program sees, and those of kv.mjs what the server can.
import { load } from "./load.mjs";
import { measured } from "./measure.mjs";

const many = { clients: 1000, connections: 100 };
const valueBytes = 1 << 10;
const largeValueBytes = 64 << 10;
// Beside the keys that a LIST finds.
const largeSpace = "bench/large/";

export const sizes = {
  small: { keys: 3000, requests: 2000, large: 200, listed: 2500, lists: 1 },
  medium: { keys: 200_000, requests: 20_000, large: 3000, listed: 50_000, lists: 1 },
  full: { keys: 1_000_000, requests: 200_000, large: 20_000, listed: 100_000, lists: 3 },
};

export function clientRows(size) {
  const { keys } = size;
  const small = { keys, "value-bytes": valueBytes, requests: size.requests, ...many };
  const large = { ...small, "value-bytes": largeValueBytes, requests: size.large, space: largeSpace };
  const listed = { keys: size.listed, "value-bytes": valueBytes, requests: size.lists };
  const list = (name, how, limit) => ({
    name,
    title: `LIST of ${size.listed} keys with values of 1 KiB, ${how} (p50 / p99 are times to the first byte)`,
    figure: "bandwidth",
    target: "–",
    needs: "client-fill",
    run: (server) => measured(server, () => load("client-list", server, { ...listed, limit })),
  });
  const row = (name, what, work, options, needs) => ({
    name,
    title: `${what}, etcd's Go client, 1,000 clients on 100 connections`,
    figure: "rate",
    target: "–",
    needs,
    run: (server) => measured(server, () => load(work, server, options)),
  });
  return [
    {
      name: "client-fill",
      title: `fill ${keys} keys with values of 1 KiB in txns of 100 puts`,
      figure: "rate",
      target: "–",
      run: (server) =>
        measured(server, () => load("fill", server, { keys, "value-bytes": valueBytes, clients: 32, connections: 8 })),
    },
    row("client-put", `puts of 1 KiB to random keys of ${keys}`, "client-put", small, "client-fill"),
    row("client-get", `linearizable gets of random keys of ${keys}, 1 KiB`, "client-get", small, "client-fill"),
    list("list-500", "pages of 500", 500),
    list("list-10000", "pages of 10,000", 10_000),
    list("list-all", "everything in one Range", 0),
    row("client-put-large", `puts of 64 KiB to random keys of ${keys}`, "client-put", large),
    row(
      "client-get-large",
      "linearizable gets of those keys, 64 KiB",
      "client-get",
      { ...large, written: size.large },
      "client-put-large",
    ),
  ];
}
