// How long the tests run that need length.

/** How often something is done: the number at NETCD_TEST_DEPTH=full, else a tenth of it. */
export const depth = (full: number): number =>
  process.env["NETCD_TEST_DEPTH"] === "full" ? full : Math.max(1, Math.floor(full / 10));
