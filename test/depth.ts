// How long the tests run that need length.

/** How often something is done: the number at NETCD_TEST_DEPTH=full, else a tenth of it. */
export const depth = (full: number): number =>
  process.env["NETCD_TEST_DEPTH"] === "full" ? full : Math.max(1, Math.floor(full / 10));

/** A number from the environment. */
function asked(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new Error(`${name}=${text}`);
  return Number(text);
}

/** How long a parser is fuzzed, as native/fuzz has it: for fast-check and for the test around it. */
export function fuzzing() {
  const seconds = asked("NETCD_FUZZ_SECONDS") ?? (process.env["NETCD_TEST_DEPTH"] === "full" ? 20 : 1);
  // A test run tries the same each time, so that what fails is news of a change; who asks for a time looks for more.
  const seed = asked("NETCD_FUZZ_SEED") ?? (asked("NETCD_FUZZ_SECONDS") === undefined ? 1 : undefined);
  const parameters = { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: seconds * 1_000 };
  return {
    // What fails is made smaller before it is shown.
    timeout: seconds * 2_000 + 60_000,
    parameters: seed === undefined ? parameters : { ...parameters, seed },
  };
}
