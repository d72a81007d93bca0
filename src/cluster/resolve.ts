// Host names of peer URLs as IP addresses, to compare URLs that name one host in two ways.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { parseUrl } from "../config/urls.js";

/** The URL with the first address of its host. A name that cannot be resolved stays: equal names are still equal. */
export async function resolveUrl(text: string): Promise<string> {
  const url = parseUrl(text);
  if (url.scheme.startsWith("unix") || url.host === "localhost" || isIP(url.host) !== 0) return text;
  const found = await lookup(url.host).catch(() => null);
  if (!found) return text;
  const host = found.family === 6 ? `[${found.address}]` : found.address;
  return `${url.scheme}://${host}:${url.port}`;
}
