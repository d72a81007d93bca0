// The documents can be read and hold together: no paragraph that a reader must fight, no link that leads nowhere.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const LINE_MAX = 120;
const PARAGRAPH_LINES_MAX = 8;

const markdownIn = (folder: string) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
const documents = [".", "docs", "test", "native", "examples"].flatMap(markdownIn);

const read = (name: string) => readFileSync(join(ROOT, name), "utf8");

/** The text without code: what stands between fences, and lines that are set in. */
function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, "").replace(/^ {4}.*$/gm, "");
}

/** Paragraphs and items of lists; tables and headings are none. */
function paragraphs(text: string): string[][] {
  const blocks = withoutCode(text).split(/\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )/);
  const lines = blocks.map((block) => block.split("\n").filter((line) => line.trim() !== ""));
  return lines.filter(([first = ""]) => first !== "" && !/^(\||#|<!--)/.test(first));
}

/** What of a document a reader must fight: paragraphs and lines that are too long. */
function tooLong(text: string): string[] {
  const all = paragraphs(text);
  const long = all.filter((lines) => lines.length > PARAGRAPH_LINES_MAX).map(([first = ""]) => `paragraph: ${first}`);
  const wide = all.flat().filter((line) => line.length > LINE_MAX && !line.startsWith("|"));
  return [...long, ...wide.map((line) => `line: ${line}`)];
}

/** The names by which links reach the headings of a document. */
function anchors(text: string): string[] {
  const headings = [...withoutCode(text).matchAll(/^#+ +(.*)$/gm)].map(([, heading = ""]) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-"),
  );
}

/** Links of a document to files and headings that are not there. */
function broken(name: string, text: string): string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
  return links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? name : relative(ROOT, join(ROOT, dirname(name), path));
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && !anchors(read(target)).includes(anchor);
  });
}

test("every page of docs can be reached from the README", () => {
  const readme = read("README.md");
  expect(documents.length).toBeGreaterThan(10);
  expect(markdownIn("docs").filter((name) => !readme.includes(`(${name})`))).toEqual([]);
});

test.each(documents.filter((name) => name !== "CHANGELOG.md"))(
  "%s has no paragraph that a reader must fight",
  (name) => {
    expect(tooLong(read(name))).toEqual([]);
  },
);

test.each(documents)("%s links to what is there", (name) => {
  expect(broken(name, read(name))).toEqual([]);
});

test("files that code and comments name are there", () => {
  const sources = ["src", "native", "scripts", "bench", "test"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => /\.(ts|rs|mjs|go|sh)$/.test(path) && !path.startsWith("proto/"))
      .map((path) => join(folder, path)),
  );
  const named = sources.flatMap((path) =>
    [...read(path).matchAll(/\b(?:docs\/\w+|[A-Z]{5,})\.md\b/g)].map(([name]) => name),
  );
  expect(named).toContain("docs/storage.md");
  expect([...new Set(named)].filter((name) => name !== "README.md" && !existsSync(join(ROOT, name)))).toEqual([]);
});

test("what is too long or leads nowhere is found", () => {
  const long = Array.from({ length: 9 }, (_, at) => `line ${at}`).join("\n");
  expect(tooLong(`# A\n\n${long}\n\n- ${"x".repeat(120)}`)).toEqual([
    "paragraph: line 0",
    `line: - ${"x".repeat(120)}`,
  ]);
  expect(tooLong(`\`\`\`\n${long}\n\`\`\`\n\n| ${"x".repeat(200)} |`)).toEqual([]);
  expect(broken("docs/http2.md", "[a](nowhere.md) [b](storage.md#no-such-part) [c](storage.md#a-full-disk)")).toEqual([
    "nowhere.md",
    "storage.md#no-such-part",
  ]);
});
