// The RPCs as an audit policy names them: by what they do (verbs), or each by its own name.

/** What a request does. `change` is all that changes something, whatever else it is. */
export const VERBS = ["read", "write", "change", "watch", "lease", "auth", "admin"] as const;

export type Verb = (typeof VERBS)[number];

/** Behind the path of an RPC that may also do no more than look: what its requests are that do. */
const LOOKS = "#read";

const look: readonly Verb[] = ["read"];
const write: readonly Verb[] = ["write", "change"];
const lease: readonly Verb[] = ["lease"];
const auth: readonly Verb[] = ["auth"];
const admin: readonly Verb[] = ["admin"];
const changing = (verbs: readonly Verb[]): readonly Verb[] => [...verbs, "change"];

/** Verbs by service and method. */
const SERVICES: Readonly<Record<string, Readonly<Record<string, readonly Verb[]>>>> = {
  "etcdserverpb.KV": {
    Range: look,
    RangeStream: look,
    Put: write,
    DeleteRange: write,
    Txn: write,
    [`Txn${LOOKS}`]: look,
    Compact: changing(admin),
  },
  "etcdserverpb.Watch": { Watch: ["watch"] },
  "etcdserverpb.Lease": {
    LeaseGrant: changing(lease),
    LeaseRevoke: changing(lease),
    // It changes how long a lease lives, but so often that nobody would find the rest.
    LeaseKeepAlive: lease,
    LeaseTimeToLive: lease,
    LeaseLeases: lease,
  },
  "etcdserverpb.Cluster": {
    MemberAdd: changing(admin),
    MemberRemove: changing(admin),
    MemberUpdate: changing(admin),
    MemberPromote: changing(admin),
    MemberList: admin,
  },
  "etcdserverpb.Maintenance": {
    Alarm: changing(admin),
    [`Alarm${LOOKS}`]: admin,
    Status: admin,
    Defragment: changing(admin),
    Hash: admin,
    HashKV: admin,
    Snapshot: admin,
    MoveLeader: changing(admin),
    Downgrade: changing(admin),
  },
  "etcdserverpb.Auth": {
    AuthEnable: changing(auth),
    AuthDisable: changing(auth),
    AuthStatus: auth,
    // It makes a token.
    Authenticate: changing(auth),
    UserAdd: changing(auth),
    UserGet: auth,
    UserList: auth,
    UserDelete: changing(auth),
    UserChangePassword: changing(auth),
    UserGrantRole: changing(auth),
    UserRevokeRole: changing(auth),
    RoleAdd: changing(auth),
    RoleGet: auth,
    RoleList: auth,
    RoleDelete: changing(auth),
    RoleGrantPermission: changing(auth),
    RoleRevokePermission: changing(auth),
  },
  "v3electionpb.Election": { Campaign: write, Proclaim: write, Leader: look, Observe: look, Resign: write },
  "v3lockpb.Lock": { Lock: write, Unlock: write },
  "grpc.health.v1.Health": { Check: [], List: [], Watch: [] },
};

/** Verbs by path; requests that only look have a path of their own. */
const CALLS: ReadonlyMap<string, readonly Verb[]> = new Map(
  Object.entries(SERVICES).flatMap(([service, methods]) =>
    Object.entries(methods).map(([method, verbs]) => [`/${service}/${method}`, verbs] as const),
  ),
);

/** All there are, as the data plane names them: paths, and paths with `#read`. */
export const ALL_CALLS: readonly string[] = [...CALLS.keys()];

const isVerb = (name: string): name is Verb => (VERBS as readonly string[]).includes(name);

/**
 * What a policy names: a verb, or an RPC (`Put`, `KV/Put`, or its whole path) with all that it may do. Throws Error with
 * the reason alone.
 */
export function callsNamed(name: string): readonly string[] {
  if (isVerb(name)) return ALL_CALLS.filter((path) => CALLS.get(path)?.includes(name));
  const named = ALL_CALLS.filter((path) => {
    const [whole = ""] = path.split(LOOKS);
    return whole === name || whole.endsWith(`/${name}`) || whole.endsWith(`.${name}`);
  });
  const rpcs = new Set(named.map((path) => path.split(LOOKS)[0]));
  if (rpcs.size === 0) throw new Error(`${JSON.stringify(name)} is neither a verb (${VERBS.join(", ")}) nor an RPC`);
  if (rpcs.size > 1) throw new Error(`${JSON.stringify(name)} names several RPCs: ${[...rpcs].join(", ")}`);
  return named;
}
