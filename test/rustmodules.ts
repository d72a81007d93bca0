// Which file of a Rust crate imports which other, read from the text: for test/layers-native.test.ts. Enough of Rust's
// grammar for that and no more: comments, literals and what only tests have are taken out, then `mod`, `use` and paths
// are followed to the file that defines what they name.

/** What one module says, its own inline modules aside. */
interface Module {
  file: string;
  children: Map<string, Module>;
  parent: Module | null;
  /** Names that `use` brings in, and the paths that they stand for. */
  uses: Map<string, Use>;
  /** Paths of `use x::*`. */
  globs: Use[];
  /** Names of items that are defined here. */
  items: Set<string>;
  /** Paths in code, such as `status::trailers`. */
  paths: string[][];
  /** Names in code that stand alone. */
  names: Set<string>;
}

interface Use {
  path: string[];
  isPublic: boolean;
}

/** An item of a file, or a module. */
type Target = { module: Module } | { file: string };

const ITEM = new Set(["fn", "struct", "enum", "trait", "type", "const", "static", "union"]);
const TOKEN = /::|[A-Za-z_]\w*|\S/g;
const NAME = /^[A-Za-z_]/;

/** The text without comments, strings and characters; lifetimes stay. */
export function withoutLiterals(text: string): string {
  const skipped =
    /\/\/[^\n]*|b?r(#*)"[\s\S]*?"\1|b?"(?:\\[\s\S]|[^"\\])*"|b?'(?:\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.)|[^'\\])'/g;
  return withoutBlockComments(text, skipped);
}

/** Block comments nest, so no expression takes them out; `skipped` is what may hide the beginning of one. */
function withoutBlockComments(text: string, skipped: RegExp): string {
  let out = "";
  let at = 0;
  while (at < text.length) {
    skipped.lastIndex = at;
    const literal = skipped.exec(text);
    const comment = text.indexOf("/*", at);
    if (comment >= 0 && (literal === null || comment < literal.index)) {
      out += `${text.slice(at, comment)} `;
      at = endOfComment(text, comment);
    } else if (literal) {
      out += `${text.slice(at, literal.index)} `;
      at = literal.index + literal[0].length;
    } else {
      return out + text.slice(at);
    }
  }
  return out;
}

function endOfComment(text: string, begin: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = begin;
  let depth = 0;
  for (let found = mark.exec(text); found; found = mark.exec(text)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return text.length;
}

/** The place behind the bracket that closes the one at `open`. */
function closing(tokens: readonly string[], open: number): number {
  let depth = 0;
  for (let at = open; at < tokens.length; at++) {
    if ("([{".includes(tokens[at] ?? "")) depth++;
    if (")]}".includes(tokens[at] ?? "") && --depth === 0) return at + 1;
  }
  return tokens.length;
}

/** Tokens without attributes, and without items that only tests have. */
export function tokensOf(text: string): string[] {
  const all = withoutLiterals(text).match(TOKEN) ?? [];
  const out: string[] = [];
  for (let at = 0; at < all.length; ) {
    const inner = all[at] === "#" && all[at + 1] === "!" && all[at + 2] === "[";
    if (!inner && !(all[at] === "#" && all[at + 1] === "[")) {
      out.push(all[at++] ?? "");
      continue;
    }
    const end = closing(all, at + (inner ? 2 : 1));
    const forTests = /^#\[cfg\((all\()?test[,)]/.test(all.slice(at, end).join(""));
    at = forTests ? endOfItem(all, end) : end;
  }
  return out;
}

/** The place behind an item: after its block, its semicolon, or the comma of a field; before what closes around it. */
function endOfItem(tokens: readonly string[], begin: number): number {
  for (let at = begin; at < tokens.length; at++) {
    const token = tokens[at] ?? "";
    if (token === ";" || token === ",") return at + 1;
    if (token === "{") return closing(tokens, at);
    if (token === "(" || token === "[") at = closing(tokens, at) - 1;
    else if (")]}".includes(token)) return at;
  }
  return tokens.length;
}

/** The paths of a `use`, each with the name that it brings in; `*` for all of a module. */
export function useTree(tokens: readonly string[]): { name: string; path: string[] }[] {
  const found: { name: string; path: string[] }[] = [];
  let at = 0;
  const walk = (prefix: readonly string[]) => {
    const path = [...prefix];
    while (at < tokens.length && tokens[at] !== "," && tokens[at] !== "}") {
      const token = tokens[at++] ?? "";
      if (token === "::") continue;
      if (token === "{") {
        while (at < tokens.length && tokens[at] !== "}") {
          walk(path);
          if (tokens[at] === ",") at++;
        }
        at++;
        return;
      }
      if (token === "as") {
        found.push({ name: tokens[at++] ?? "", path });
        return;
      }
      if (token === "*") {
        found.push({ name: "*", path });
        return;
      }
      if (token !== "self" || path.length === 0) path.push(token);
    }
    if (path.length > 0) found.push({ name: path.at(-1) ?? "", path });
  };
  walk([]);
  return found;
}

/** Whether `pub` or `pub(…)` stands before this place. */
function isPublicAt(tokens: readonly string[], at: number): boolean {
  if (tokens[at - 1] !== ")") return tokens[at - 1] === "pub";
  const open = tokens.lastIndexOf("(", at);
  return tokens[open - 1] === "pub";
}

/** Reads a crate from its files: paths below src, and their texts. Only what lib.rs declares is part of it. */
function readCrate(files: ReadonlyMap<string, string>): Module[] {
  const modules: Module[] = [];

  function module(file: string, parent: Module | null): Module {
    const made: Module = {
      file,
      parent,
      children: new Map(),
      uses: new Map(),
      globs: [],
      items: new Set(),
      paths: [],
      names: new Set(),
    };
    modules.push(made);
    return made;
  }

  function declare(parent: Module, name: string) {
    const folder = parent.file.replace(/(^|\/)(lib|mod)\.rs$/, "$1").replace(/\.rs$/, "/");
    const file = [`${folder}${name}.rs`, `${folder}${name}/mod.rs`].find((path) => files.has(path));
    if (file === undefined) throw new Error(`${parent.file}: no file for mod ${name}`);
    const child = module(file, parent);
    parent.children.set(name, child);
    scan(child, tokensOf(files.get(file) ?? ""));
  }

  function scan(into: Module, tokens: readonly string[]) {
    for (let at = 0; at < tokens.length; at++) {
      const [token = "", next = "", third = ""] = tokens.slice(at, at + 3);
      if (token === "mod" && NAME.test(next) && (third === ";" || third === "{")) {
        const end = third === "{" ? closing(tokens, at + 2) : at + 3;
        if (third === ";") {
          declare(into, next);
        } else {
          const child = module(into.file, into);
          into.children.set(next, child);
          scan(child, tokens.slice(at + 3, end - 1));
        }
        at = end - 1;
      } else if (token === "use" && next !== "<") {
        const end = tokens.indexOf(";", at);
        const isPublic = isPublicAt(tokens, at);
        for (const { name, path } of useTree(tokens.slice(at + 1, end))) {
          if (name === "*") into.globs.push({ path, isPublic });
          else into.uses.set(name, { path, isPublic });
        }
        at = end;
      } else if (NAME.test(token) && tokens[at - 1] !== "$") {
        at = code(into, tokens, at);
      }
    }
  }

  /** A name, or the whole path that begins with it. Returns the place of its last token. */
  function code(into: Module, tokens: readonly string[], begin: number): number {
    const before = tokens[begin - 1] ?? "";
    if (ITEM.has(before)) into.items.add(tokens[begin] ?? "");
    const path = [tokens[begin] ?? ""];
    let at = begin;
    while (tokens[at + 1] === "::" && NAME.test(tokens[at + 2] ?? "")) {
      at += 2;
      path.push(tokens[at] ?? "");
    }
    if (before === "." || before === "::") return at;
    if (path.length > 1) into.paths.push(path);
    else if (!ITEM.has(before)) into.names.add(path[0] ?? "");
    return at;
  }

  scan(module("lib.rs", null), tokensOf(files.get("lib.rs") ?? ""));
  return modules;
}

/** What a path names, seen from a module; null for what is not of this crate, or is the module's own. */
function resolve(from: Module, path: readonly string[], busy: ReadonlySet<Use> = new Set()): Target | null {
  let [first = "", ...rest] = path;
  let module: Module = from;
  if (first === "crate") while (module.parent) module = module.parent;
  else if (first === "super") {
    if (!module.parent) return null;
    module = module.parent;
  } else if (first !== "self") rest = path.slice();
  if (rest.length === 0) return { module };
  if (["crate", "super", "self"].includes(first) && rest[0] === "super") return resolve(module, rest, busy);
  [first = ""] = rest;
  const outside = path[0] === first;
  return member(module, rest, busy, outside);
}

/** What a path names that begins in a module. `outside`: a name that the module does not know is another crate's. */
function member(module: Module, path: readonly string[], busy: ReadonlySet<Use>, outside: boolean): Target | null {
  const [name = "", ...rest] = path;
  const child = module.children.get(name);
  if (child && rest.length > 0) return member(child, rest, busy, false);
  const use = module.uses.get(name);
  if (use && !busy.has(use)) {
    const found = resolve(module, use.path, new Set([...busy, use]));
    if (found && "module" in found && rest.length > 0) return member(found.module, rest, busy, false);
    if (found || !child) return found;
  }
  if (module.items.has(name)) return { file: module.file };
  if (child) return { module: child };
  for (const glob of module.globs.filter((glob) => !busy.has(glob))) {
    const all = resolve(module, glob.path, new Set([...busy, glob]));
    if (!all || !("module" in all)) continue;
    const known = all.module.items.has(name) || all.module.uses.has(name) || all.module.children.has(name);
    if (known) return member(all.module, path, new Set([...busy, glob]), false);
  }
  return outside ? null : { file: module.file };
}

/** Whether a path leads to one of the module's own children: `pub use` of those is what the module is made of. */
function isOfChild(module: Module, target: Target): boolean {
  const file = "module" in target ? target.module.file : target.file;
  const below = (parent: Module): boolean =>
    [...parent.children.values()].some((child) => child.file === file || below(child));
  return below(module);
}

/** The files that each file of a crate imports. `files`: paths below src, and their texts. */
export function importsOf(files: ReadonlyMap<string, string>): Map<string, string[]> {
  const imports = new Map<string, Set<string>>();
  for (const module of readCrate(files)) {
    const into = imports.get(module.file) ?? new Set();
    imports.set(module.file, into);
    const add = (target: Target | null) => {
      // A module that is brought in is no import by itself: what is named in it is.
      if (target && "file" in target && target.file !== module.file) into.add(target.file);
    };
    for (const [name, use] of module.uses) {
      const target = resolve(module, use.path);
      const passedOn = use.isPublic && target && isOfChild(module, target);
      if (!passedOn || module.names.has(name)) add(target);
    }
    for (const glob of module.globs) {
      const target = resolve(module, glob.path);
      const passedOn = glob.isPublic && target && isOfChild(module, target);
      if (target && "module" in target && !passedOn) add({ file: target.module.file });
      else if (!passedOn) add(target);
    }
    for (const path of module.paths) add(resolve(module, path));
  }
  return new Map([...imports].map(([file, targets]) => [file, [...targets].sort()]));
}

/** The circles of a graph: groups of nodes of which each reaches every other, as sorted lists. */
export function circlesOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const reach = new Map([...graph.keys()].map((node) => [node, reachable(graph, node)]));
  const groups = new Map<string, string[]>();
  for (const [node, reached] of reach) {
    if (!reached.has(node)) continue;
    const group = [...reached].filter((other) => reach.get(other)?.has(node)).sort();
    groups.set(group[0] ?? "", group);
  }
  return [...groups.values()].sort((a, b) => (a[0] ?? "").localeCompare(b[0] ?? ""));
}

function reachable(graph: ReadonlyMap<string, readonly string[]>, from: string): Set<string> {
  const seen = new Set<string>();
  const waiting = [...(graph.get(from) ?? [])];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    waiting.push(...(graph.get(node) ?? []));
  }
  return seen;
}
