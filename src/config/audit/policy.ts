// The audit policy: a YAML or JSON document of ordered rules, of which the first that matches a request decides.

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { ALL_CALLS, callsNamed } from "./calls.js";

/** What came of a request: it was done, refused because of who or what asked, or it failed for another reason. */
export const RESULTS = ["ok", "refused", "failed"] as const;

export type Result = (typeof RESULTS)[number];

export interface AuditRule {
  /** Paths of RPCs, of those that only look with `#read` behind. */
  readonly calls: readonly string[];
  /** Names, of which the empty one is a request without a user; null: whoever asks. */
  readonly users: readonly string[] | null;
  /** Of keys; null: whatever keys, and requests without any. */
  readonly prefixes: readonly string[] | null;
  readonly results: readonly Result[];
  /** Whether what matches gets a line. */
  readonly logged: boolean;
}

export interface AuditPolicy {
  /** Requests wait while the log's disk is slower than they are; else lines are left out and counted. */
  readonly blocks: boolean;
  /** What no rule matches is not logged. */
  readonly rules: readonly AuditRule[];
}

const anything = { users: null, prefixes: null, results: RESULTS, calls: ALL_CALLS, logged: true };

/**
 * Without a policy: who changed what, who took a copy of the whole store, and who was refused. Reads and watches that
 * were permitted, and keep-alives, are most of what a store does, and change nothing.
 */
export const DEFAULT_POLICY: AuditPolicy = {
  blocks: false,
  rules: [
    { ...anything, calls: [...callsNamed("change"), ...callsNamed("Snapshot")] },
    { ...anything, results: ["refused"] },
  ],
};

/** Throws Error with the line and the reason. */
export function parsePolicy(text: string): AuditPolicy {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const [error] = document.errors;
  if (error) throw at(lines, error.pos[0], error.message);
  return new Reader(document, lines).policy();
}

const at = (lines: LineCounter, offset: number, reason: string) =>
  new Error(`line ${lines.linePos(offset).line}: ${reason}`);

const isOneOf = <T extends string>(text: string, choices: readonly T[]): text is T =>
  (choices as readonly string[]).includes(text);

class Reader {
  constructor(
    private readonly document: Document,
    private readonly lines: LineCounter,
  ) {}

  policy(): AuditPolicy {
    const root = this.document.contents;
    const entries = this.#map(root, "the policy", ["whenFull", "rules"]);
    const whenFull = entries.get("whenFull");
    const rules = entries.get("rules");
    if (rules === undefined) throw this.#wrong(root, "the policy has no rules");
    return {
      blocks: whenFull !== undefined && this.#choice(whenFull, "whenFull", ["drop", "block"]) === "block",
      rules: this.#list(rules, "rules").map((rule) => this.#rule(rule)),
    };
  }

  #rule(node: Node): AuditRule {
    const entries = this.#map(node, "a rule", ["users", "prefixes", "verbs", "results", "level"]);
    const level = entries.get("level");
    if (level === undefined) throw this.#wrong(node, "the rule has no level");
    const listOf = <T>(key: string, read: (item: Node) => T): T[] | null => {
      const list = entries.get(key);
      if (list === undefined) return null;
      const items = this.#list(list, key).map(read);
      if (items.length === 0) throw this.#wrong(list, `${key} is empty, and would match nothing`);
      return items;
    };
    return {
      users: listOf("users", (item) => this.#text(item, "a user")),
      prefixes: listOf("prefixes", (item) => this.#text(item, "a prefix")),
      calls: listOf("verbs", (item) => this.#calls(item))?.flat() ?? ALL_CALLS,
      results: listOf("results", (item) => this.#choice(item, "a result", RESULTS)) ?? RESULTS,
      logged: this.#choice(level, "level", ["none", "metadata"]) === "metadata",
    };
  }

  #calls(node: Node): readonly string[] {
    const name = this.#text(node, "a verb");
    try {
      return callsNamed(name);
    } catch (error) {
      throw this.#wrong(node, (error as Error).message);
    }
  }

  #choice<T extends string>(node: Node, what: string, choices: readonly T[]): T {
    const text = this.#text(node, what);
    if (isOneOf(text, choices)) return text;
    throw this.#wrong(node, `${what} is one of ${choices.join(", ")}, not ${JSON.stringify(text)}`);
  }

  #text(given: Node, what: string): string {
    const node = this.#resolved(given);
    if (isScalar(node) && typeof node.value === "string") return node.value;
    const quotes = isScalar(node) ? `, not ${String(node.source ?? node.value)}: put it in quotes` : "";
    throw this.#wrong(given, `${what} is a text${quotes}`);
  }

  #list(given: Node, what: string): Node[] {
    const node = this.#resolved(given);
    if (!isSeq(node)) throw this.#wrong(given, `${what} is a list`);
    return node.items as Node[];
  }

  #map(given: Node | null, what: string, known: readonly string[]): Map<string, Node> {
    const node = given && this.#resolved(given);
    if (!isMap(node)) throw this.#wrong(given, `${what} is a map with the keys ${known.join(", ")}`);
    const entries = new Map<string, Node>();
    for (const { key, value } of node.items) {
      const name = this.#text(key as Node, "a key");
      if (!known.includes(name)) throw this.#wrong(key as Node, `${what} has no key ${name}: ${known.join(", ")}`);
      if (value === null || (isScalar(value) && value.value === null))
        throw this.#wrong(key as Node, `${name} has no value`);
      entries.set(name, value as Node);
    }
    return entries;
  }

  #resolved(node: Node): Node {
    return (isAlias(node) ? node.resolve(this.document) : node) ?? node;
  }

  #wrong(node: Node | null, reason: string): Error {
    return at(this.lines, node?.range?.[0] ?? 0, reason);
  }
}
