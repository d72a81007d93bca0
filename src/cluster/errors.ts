// Refusals of membership changes, as gRPC code and etcd's text.

import { ReplicaError } from "../replica/errors.js";

/** The change does not fit the cluster; nothing has changed. */
export class ClusterChangeError extends ReplicaError {}

const precondition = (text: string) => () => new ClusterChangeError(9, `etcdserver: ${text}`);

export const clusterErrors = {
  memberExists: precondition("member ID already exist"),
  peerUrlExists: precondition("Peer URLs already exists"),
  memberNotFound: () => new ClusterChangeError(5, "etcdserver: member not found"),
  notLearner: precondition("can only promote a learner member"),
  learnerNotReady: precondition("can only promote a learner member which is in sync with leader"),
  tooManyLearners: precondition("too many learner members in cluster"),
  notLeader: precondition("not leader"),
  badUrls: () => new ClusterChangeError(3, "etcdserver: given member URLs are invalid"),
  /** etcd's server sends it without a code of its own. */
  notEnoughStarted: () =>
    new ClusterChangeError(2, "etcdserver: re-configuration failed due to not enough started members"),
  unhealthy: () => new ClusterChangeError(14, "etcdserver: unhealthy cluster"),
  timeout: () => new ClusterChangeError(14, "etcdserver: request timed out"),
} as const;
