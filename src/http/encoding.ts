// Which encoding an answer may have, chosen as Go's promhttp does from Accept-Encoding.

export type Encoding = "identity" | "gzip";

/** In the order in which equal wishes are met. */
const OFFERED: readonly Encoding[] = ["identity", "gzip"];

interface Wish {
  readonly coding: string;
  readonly quality: number;
}

/** The encoding that the client likes best of those there are; what cannot be read asks for nothing. */
export function chooseEncoding(accepted: string): Encoding {
  const wishes = parse(accepted);
  let best: Encoding = "identity";
  let bestQuality = -1;
  for (const offer of OFFERED) {
    for (const { coding, quality } of wishes) {
      if (quality > bestQuality && (coding === "*" || coding === offer)) {
        best = offer;
        bestQuality = quality;
      }
    }
  }
  return bestQuality === 0 ? "identity" : best;
}

/** Codings with their qualities; the rest of a list behind one that is malformed counts for nothing. */
function parse(accepted: string): Wish[] {
  const wishes: Wish[] = [];
  for (const part of accepted.split(",")) {
    const match = /^\s*([^\s;,"]+)\s*(?:;\s*q=([01](?:\.\d*)?)\s*)?$/.exec(part);
    if (match === null) break;
    wishes.push({ coding: match[1] ?? "", quality: match[2] === undefined ? 1 : Number(match[2]) });
  }
  return wishes;
}
