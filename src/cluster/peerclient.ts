// Questions over HTTP/1.1 to the peer URLs of other members: who the members are, and what only the leader may do.

import { type IncomingMessage, request } from "node:http";
import { type RequestOptions, request as requestSecured } from "node:https";
import { isSecured, isUnix, parseUrl } from "../config/urls.js";
import { limits } from "../limits.js";
import { inGoWords } from "../tls/dial.js";
import type { Member } from "./member.js";

export interface PeerAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export interface PeerQuestion {
  readonly method: "GET" | "POST";
  /** A peer URL without a path. */
  readonly url: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly timeoutMs: number;
}

/** Asks a member. Rejects when there is no whole answer in time; any status is an answer. */
export type Ask = (question: PeerQuestion) => Promise<PeerAnswer>;

/** Asks https URLs with what `tls` gives at that moment. */
export const peerClient =
  (tls: () => RequestOptions): Ask =>
  (question) =>
    askPeer(question, tls());

/** Rejects when there is no whole answer in time; any status is an answer. `tls` is for https URLs. */
export function askPeer(question: PeerQuestion, tls: RequestOptions = {}): Promise<PeerAnswer> {
  const { method, url, path, headers, body, timeoutMs } = question;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(Math.ceil(timeoutMs));
    const options = { ...target(url), path, method, headers: { ...headers }, agent: false as const, signal };
    const take = (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > limits.peerAnswerBytesMax) call.destroy(new Error(`${url}${path}: the answer is too large`));
        else chunks.push(chunk);
      });
      response.on("error", reject);
      response.on("end", () => {
        const named = Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]);
        resolve({ status: response.statusCode ?? 0, headers: new Map(named), body: Buffer.concat(chunks) });
      });
    };
    const secured = isSecured(parseUrl(url));
    const call = secured ? requestSecured({ ...options, ...tls }, take) : request(options, take);
    call.on("error", (error) => reject(inGoWords(error)));
    call.end(body);
  });
}

/** Where a peer URL leads. Throws if it is none. */
function target(text: string): { socketPath: string; host: string } | { host: string; port: string } {
  const url = parseUrl(text);
  return isUnix(url) ? { socketPath: url.address, host: "localhost" } : { host: url.host, port: url.port };
}

/** The members as JSON of the peer endpoints; ids are numbers there, beyond what JavaScript's parser keeps. */
export function encodeMemberList(members: readonly Member[]): string {
  const items = members.map(({ id, peerUrls, isLearner, name, clientUrls }) => {
    const urls = `"peerURLs":${JSON.stringify(peerUrls)}`;
    const learner = isLearner ? ',"isLearner":true' : "";
    const published = name === "" ? "" : `,"name":${JSON.stringify(name)}`;
    const clients = clientUrls.length === 0 ? "" : `,"clientURLs":${JSON.stringify(clientUrls)}`;
    return `{"id":${id},${urls}${learner}${published}${clients}}`;
  });
  return `[${items.join(",")}]\n`;
}

/** Throws if the text is not a member list. */
export function decodeMemberList(text: string): Member[] {
  const list: unknown = JSON.parse(text.replaceAll(/"id":\s*(\d+)/g, '"id":"$1"'));
  if (!Array.isArray(list)) throw new Error("not a list of members");
  return list.map((item: Partial<Record<string, unknown>>) => {
    if (typeof item["id"] !== "string") throw new Error("a member without an id");
    return {
      id: BigInt(item["id"]),
      name: typeof item["name"] === "string" ? item["name"] : "",
      peerUrls: texts(item["peerURLs"]),
      clientUrls: texts(item["clientURLs"]),
      isLearner: item["isLearner"] === true,
    };
  });
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

const MEMBERS_PATH = "/members";

export interface RemoteCluster {
  readonly clusterId: bigint;
  readonly members: readonly Member[];
}

/** The cluster as the first of the URLs that answers knows it; null if none does. `failed` hears of the others. */
export async function fetchCluster(
  ask: Ask,
  urls: readonly string[],
  timeoutMs: number,
  failed: (address: string, error: Error) => void,
): Promise<RemoteCluster | null> {
  for (const url of urls) {
    try {
      const found = await fetchFrom(ask, url, timeoutMs);
      if (found !== null) return found;
    } catch (error) {
      failed(`${url}${MEMBERS_PATH}`, error as Error);
    }
  }
  return null;
}

/** null: that member knows no cluster yet. Rejects when there is no answer that can be read. */
async function fetchFrom(ask: Ask, url: string, timeoutMs: number): Promise<RemoteCluster | null> {
  const { status, headers, body } = await ask({ method: "GET", url, path: MEMBERS_PATH, timeoutMs });
  const clusterId = headers.get("x-etcd-cluster-id") ?? "";
  if (status !== 200) throw new Error(`the answer has status ${status}`);
  if (!/^[0-9a-f]{1,16}$/.test(clusterId)) throw new Error(`no cluster id in the answer: ${JSON.stringify(clusterId)}`);
  const members = decodeMemberList(body.toString());
  // A member that has not applied anything yet knows nobody.
  return members.length === 0 ? null : { clusterId: BigInt(`0x${clusterId}`), members };
}
