import { describe, expect, it } from "vitest";
import { clusterIdOf, memberIdOf } from "./ids.js";
import { BootstrapError, initialCluster, parseInitialCluster } from "./initial.js";
import { decodeMember, encodeMember, type Member } from "./member.js";
import { Membership } from "./membership.js";

const asIs = async (url: string) => url;

describe("ids", () => {
  it("equal those of etcd for one member", () => {
    const id = memberIdOf(["http://127.0.0.1:23801"], { token: "etcd-cluster" });
    expect(id.toString(16)).toBe("bdae9bbc11dd390d");
    expect(clusterIdOf([id]).toString(16)).toBe("d1cfaf999eb97a2a");
  });

  it("equal those of etcd for three members, in any order", () => {
    const ids = [23801, 23802, 23803].map((port) => memberIdOf([`http://127.0.0.1:${port}`], { token: "tkn" }));
    expect(ids.map((id) => id.toString(16))).toEqual(["6c120a4f29d80e03", "5712125a024a4308", "4be80d0b5085b838"]);
    expect(clusterIdOf(ids).toString(16)).toBe("a37a7bbe15083cad");
    expect(clusterIdOf([...ids].reverse())).toBe(clusterIdOf(ids));
  });
});

describe("the initial cluster", () => {
  const options = {
    name: "a",
    initialCluster: "a=http://127.0.0.1:23801",
    token: "etcd-cluster",
    advertisePeerUrls: ["http://127.0.0.1:23801"],
  };

  it("gives every member its id", async () => {
    const cluster = await initialCluster(options, asIs);
    expect(cluster.local.id.toString(16)).toBe("bdae9bbc11dd390d");
    expect(cluster.clusterId.toString(16)).toBe("d1cfaf999eb97a2a");
  });

  it("collects the URLs of one name", () => {
    expect(parseInitialCluster("a=http://b:2,c=http://c:1,a=http://a:1")).toEqual(
      new Map([
        ["a", ["http://a:1", "http://b:2"]],
        ["c", ["http://c:1"]],
      ]),
    );
    expect(() => parseInitialCluster("a")).toThrow(
      "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: ",
    );
  });

  it.each([
    [{ name: "x" }, `couldn't find local name "x" in the initial cluster configuration`],
    [
      { initialCluster: "a=http://127.0.0.1:23809" },
      '--initial-cluster has a=http://127.0.0.1:23809 but missing from --initial-advertise-peer-urls=http://127.0.0.1:23801 (resolved urls: "http://127.0.0.1:23801" != "http://127.0.0.1:23809")',
    ],
    [
      { initialCluster: "a=http://127.0.0.1:23801,b=http://127.0.0.1:23801" },
      "initial cluster a=http://127.0.0.1:23801,b=http://127.0.0.1:23801 has duplicate url",
    ],
  ])("refuses %j", async (change, message) => {
    await expect(initialCluster({ ...options, ...change }, asIs)).rejects.toThrow(new BootstrapError(message));
  });

  it("takes different names of one host for the same", async () => {
    const resolve = async (url: string) => url.replace("host", "127.0.0.1");
    const cluster = await initialCluster({ ...options, advertisePeerUrls: ["http://host:23801"] }, resolve);
    expect(cluster.members).toHaveLength(1);
  });
});

describe("membership", () => {
  const member: Member = { id: 7n, name: "", peerUrls: ["http://a:1"], clientUrls: [], isLearner: false };

  it("survives in the rows that its changes return", () => {
    const before = new Membership(1n);
    const writes = [
      ...before.put(member),
      ...before.put({ ...member, id: 3n, isLearner: true }),
      ...before.put({ ...member, id: 9n }),
      ...before.setAttributes(7n, "seven", ["http://c:1"]),
      ...before.setClusterVersion("3.7.0"),
      ...before.remove(9n),
    ];
    const rows = new Map(writes.map((write) => [`${write.table}/${Buffer.from(write.key).toString("hex")}`, write]));
    const after = Membership.restore(
      1n,
      [...rows.values()].map(({ table, key, value }) => ({ table, key, value: value ?? new Uint8Array() })),
    );
    expect(after.members()).toEqual([
      { ...member, id: 3n, isLearner: true },
      { ...member, name: "seven", clientUrls: ["http://c:1"] },
    ]);
    expect(after.isRemoved(9n)).toBe(true);
    expect(after.clusterVersion).toBe("3.7.0");
  });

  it("does not let a removed member publish itself", () => {
    const membership = new Membership(1n);
    membership.put(member);
    membership.remove(7n);
    expect(membership.setAttributes(7n, "x", [])).toEqual([]);
    expect(membership.member(7n)).toBeNull();
  });

  it("refuses damaged records", () => {
    expect(decodeMember(encodeMember(member))).toEqual(member);
    expect(() => decodeMember(Buffer.from('{"id":"x"}'))).toThrow("damaged member record");
  });
});
