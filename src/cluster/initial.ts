// The first members of a cluster as --initial-cluster names them, and the checks before they are used.

import { parseUrls } from "../config/urls.js";
import { clusterIdOf, memberIdOf } from "./ids.js";
import type { Member } from "./member.js";

/** The cluster cannot be started like this; the message is etcd's. */
export class BootstrapError extends Error {}

export interface InitialCluster {
  readonly clusterId: bigint;
  readonly members: readonly Member[];
  /** This member. */
  readonly local: Member;
}

/** Reads `name=url,name=url`; a name may come several times. Throws BootstrapError. */
export function parseInitialCluster(text: string): Map<string, string[]> {
  const members = new Map<string, string[]>();
  for (const part of text.split(",").map((item) => item.trim())) {
    if (part === "") continue;
    const split = part.indexOf("=");
    const name = split < 0 ? part : part.slice(0, split);
    const url = split < 0 ? "" : part.slice(split + 1);
    members.set(name, [...(members.get(name) ?? []), url]);
  }
  for (const [name, urls] of members) members.set(name, checkedUrls(urls));
  return members;
}

function checkedUrls(urls: readonly string[]): string[] {
  try {
    return parseUrls(urls.join(",")).map((url) => url.text);
  } catch (error) {
    throw new BootstrapError(`error setting up initial cluster: ${(error as Error).message}`);
  }
}

/**
 * The members of a new cluster with their ids. `resolve` turns a peer URL into one with an IP address, because the
 * URLs of --initial-cluster and --initial-advertise-peer-urls may name the same host differently.
 * Throws BootstrapError.
 */
export async function initialCluster(
  options: {
    readonly name: string;
    readonly initialCluster: string;
    readonly token: string;
    readonly advertisePeerUrls: readonly string[];
  },
  resolve: (url: string) => Promise<string>,
): Promise<InitialCluster> {
  const named = parseInitialCluster(options.initialCluster);
  const own = named.get(options.name);
  if (!own) {
    throw new BootstrapError(
      `couldn't find local name ${JSON.stringify(options.name)} in the initial cluster configuration`,
    );
  }
  checkDuplicates(named, options.initialCluster);
  await checkAdvertised(options.name, own, options.advertisePeerUrls, resolve);
  const members = [...named].map(([name, peerUrls]): Member => {
    const id = memberIdOf(peerUrls, { token: options.token });
    return { id, name, peerUrls, clientUrls: [], isLearner: false };
  });
  members.sort((a, b) => (a.id < b.id ? -1 : 1));
  const local = members.find((member) => member.name === options.name);
  if (!local) throw new TypeError("the local member was found a moment ago");
  return { clusterId: clusterIdOf(members.map((member) => member.id)), members, local };
}

function checkDuplicates(named: ReadonlyMap<string, readonly string[]>, text: string): void {
  const all = [...named.values()].flat();
  if (new Set(all).size !== all.length) {
    throw new BootstrapError(`initial cluster ${text} has duplicate url`);
  }
}

async function checkAdvertised(
  name: string,
  own: readonly string[],
  advertised: readonly string[],
  resolve: (url: string) => Promise<string>,
): Promise<void> {
  const ours = [...own].sort();
  const told = [...advertised].sort();
  const [oursResolved, toldResolved] = await Promise.all([
    Promise.all(ours.map(resolve)),
    Promise.all(told.map(resolve)),
  ]);
  const missing = toldResolved.findIndex((url) => !oursResolved.includes(url));
  const unknown = oursResolved.findIndex((url) => !toldResolved.includes(url));
  if (missing < 0 && unknown < 0) return;
  const list = (urls: readonly string[]) => urls.join(",");
  const named = list(ours.map((url) => `${name}=${url}`));
  if (unknown >= 0) {
    throw new BootstrapError(
      `--initial-cluster has ${named} but missing from --initial-advertise-peer-urls=${list(told)} ` +
        `(resolved urls: ${JSON.stringify(list(toldResolved))} != ${JSON.stringify(list(oursResolved))})`,
    );
  }
  throw new BootstrapError(
    `--initial-advertise-peer-urls has ${list(told)} but missing from --initial-cluster=${named} ` +
      `(resolved urls: ${JSON.stringify(list(toldResolved))} != ${JSON.stringify(list(oursResolved))})`,
  );
}
