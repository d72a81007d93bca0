// Where the time of a test run goes: a line for each step and the slowest tests, said at its end.

/** How many of the slowest tests are named. */
const SLOWEST_SHOWN = 10;

export class Timings {
  /** @type {{ name: string, seconds: number }[]} */
  #steps = [];
  /** @type {{ name: string, seconds: number }[]} */
  #tests = [];

  /**
   * Resolves with what `work` resolves with; its time is that of the step.
   * @template T  @param {string} name  @param {() => Promise<T>} work  @returns {Promise<T>}
   */
  async step(name, work) {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.#steps.push({ name, seconds: (performance.now() - started) / 1_000 });
    }
  }

  /** A test has ended. */
  test(name, seconds) {
    this.#tests.push({ name, seconds });
  }

  /** The table as text, the steps in the order of their ends. Steps may run side by side. */
  table() {
    const line = ({ name, seconds }) => `${seconds.toFixed(1).padStart(8)} s  ${name}`;
    const slowest = this.#tests.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST_SHOWN);
    const parts = [["steps", ...this.#steps.map(line)]];
    if (slowest.length > 0)
      parts.push([`the ${slowest.length} slowest of ${this.#tests.length} tests`, ...slowest.map(line)]);
    return parts.flat().join("\n");
  }
}
