// Every answer here was etcd 3.7.3's to the same header.

import { expect, it } from "vitest";
import { chooseEncoding } from "./encoding.js";

it.each([
  ["", "identity"],
  ["gzip", "gzip"],
  [" gzip ", "gzip"],
  ["zstd", "identity"],
  ["zstd, gzip", "gzip"],
  ["gzip,zstd", "gzip"],
  ["gzip;q=0", "identity"],
  ["gzip ; q=0.5", "gzip"],
  ["deflate", "identity"],
  ["*", "identity"],
  ["identity", "identity"],
  ["identity;q=0", "identity"],
  ["GZIP", "identity"],
  ["x-gzip", "identity"],
  ["gzip;q=0.5, zstd;q=0.9", "gzip"],
  ["gzip;q=0.5, identity", "identity"],
  ["identity;q=0.5, gzip", "gzip"],
  ["identity;q=0.2, gzip;q=0.1", "identity"],
  ["gzip, identity", "identity"],
  ["gzip;q=x", "identity"],
  ["gzip;Q=0.5", "identity"],
  ["gzip;q=2", "identity"],
  ["*;q=0.1, gzip", "gzip"],
  ["gzip;q=0.5, *", "identity"],
  ["deflate, gzip;q=1.0, *;q=0.5", "gzip"],
  ["br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"],
])("Accept-Encoding: %j is answered with %s", (accepted, chosen) => {
  expect(chooseEncoding(accepted)).toBe(chosen);
});
