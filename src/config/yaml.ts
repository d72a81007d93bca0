// YAML as etcd's parser takes it, and the words in which it says where a text is none.

import {
  type Document,
  type DocumentOptions,
  isCollection,
  type ParseOptions,
  parseDocument,
  type ScalarTag,
  type SchemaOptions,
  type Tags,
  visit,
  type YAMLError,
} from "yaml";
import { limits } from "../limits.js";

/** YAML 1.1 (`yes`, `1_000`) with octals of 1.2, the last of equal keys, no times; what follows a document is not read. */
const OPTIONS: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.1",
  // Big numbers stay exact: durations are nanoseconds, and a quota may be any 64-bit number.
  intAsBigInt: true,
  uniqueKeys: false,
  prettyErrors: false,
  // What is odd but no mistake is not written to stderr: the log is there.
  logLevel: "error",
  customTags: (tags) => [...tags.filter((tag) => !isTime(tag)), "intOct"],
};

/** Times, and numbers as hours and minutes: texts for etcd. */
function isTime(tag: Tags[number]): boolean {
  return typeof tag === "object" && (tag.tag === "tag:yaml.org,2002:timestamp" || (tag as ScalarTag).format === "TIME");
}

/** The first document's value. Throws Error with the text of etcd's parser, or one in its manner. */
export function parseYaml(text: string): unknown {
  const document = parseDocument(text, OPTIONS);
  const error = document.errors.find(({ code }) => code !== "MULTIPLE_DOCS");
  if (error) throw new Error(described(error, text, document));
  try {
    return document.toJS({ maxAliasCount: limits.configAliasesMax });
  } catch (unresolved) {
    if (/^Excessive alias count/.test((unresolved as Error).message)) {
      throw new Error("document contains excessive aliasing");
    }
    const anchor = /Unresolved alias .*: (.*)$/s.exec((unresolved as Error).message)?.[1];
    throw anchor === undefined ? unresolved : new Error(`unknown anchor '${anchor}' referenced`);
  }
}

const KEY = "did not find expected key";
const MAPPING = "mapping values are not allowed in this context";
const START = "found character that cannot start any token";

/** Lines of the part of a text before an offset: the number of the line of what stands there, from 1 on. */
const lineOf = (text: string, offset: number) => text.slice(0, offset).split("\n").length;

/** Line 1 is not named. */
const at = (line: number, reason: string) => (line > 1 ? `line ${line}: ${reason}` : reason);

/** A reason that its parser (not its scanner) finds is counted from line 0, which is not named. */
const parsed = (line: number, reason: string) => (line > 1 ? `line ${line - 1}: ${reason}` : reason);

function described(error: YAMLError, text: string, document: Document): string {
  const [offset] = error.pos;
  const line = lineOf(text, offset);
  const before = text.slice(0, offset).trimEnd();
  switch (error.code) {
    case "TAB_AS_INDENT": {
      const begins = before === "" || before.endsWith(":");
      return at(line, begins ? START : "found a tab character that violates indentation");
    }
    case "BAD_SCALAR_START":
      return at(line, START);
    case "BAD_DQ_ESCAPE":
      return at(line, "found unknown escape character");
    case "BLOCK_AS_IMPLICIT_KEY":
      return at(lineOfColon(text, offset), MAPPING);
    case "MULTILINE_IMPLICIT_KEY":
      return text.startsWith("- ", offset) ? parsed(line, KEY) : at(lineOfColon(text, offset), MAPPING);
    case "UNEXPECTED_TOKEN":
      return parsed(line, before === "" ? "did not find expected node content" : KEY);
    case "BAD_INDENT":
      return error.message.startsWith("Flow") ? unclosed(error, text, document) : parsed(line, KEY);
    case "MISSING_CHAR":
      if (error.message.startsWith("Missing closing")) return at(line, "found unexpected end of stream");
      if (error.message.startsWith("Missing directives-end")) return "found unknown directive name";
      if (error.message.startsWith("Implicit map keys")) return at(line + 1, "could not find expected ':'");
      if (error.message.startsWith("Flow")) return unclosed(error, text, document);
  }
  return at(line, error.message);
}

/** The colon that makes a mapping where none may be. */
function lineOfColon(text: string, offset: number): number {
  const colon = text.slice(offset).search(/:(\s|$)/);
  return lineOf(text, colon < 0 ? offset : offset + colon);
}

/** A list or map in brackets that does not end. In the first line its end is named, else its beginning. */
function unclosed(error: YAMLError, text: string, document: Document): string {
  let start = 0;
  visit(document, {
    Collection(_key, node) {
      const [begin] = node.range ?? [0];
      if (isCollection(node) && node.flow && begin <= error.pos[0]) start = Math.max(start, begin);
    },
  });
  const reason = `did not find expected ',' or '${text[start] === "{" ? "}" : "]"}'`;
  const line = lineOf(text, start);
  return line > 1 ? at(line, reason) : parsed(lineOf(text, text.length), reason);
}
