// Refusals of membership changes, each from the table of proto/errors.json.

import { ERRORS } from "../proto/errors.js";
import { ReplicaError } from "../replica/errors.js";

/** The change does not fit the cluster; nothing has changed. */
export class ClusterChangeError extends ReplicaError {}

const named = (name: keyof typeof ERRORS) => () => {
  const [code, text] = ERRORS[name];
  return new ClusterChangeError(code, text);
};

export const clusterErrors = {
  memberExists: named("memberExists"),
  peerUrlExists: named("peerUrlExists"),
  memberNotFound: named("memberNotFound"),
  notLearner: named("notLearner"),
  learnerNotReady: named("learnerNotReady"),
  tooManyLearners: named("tooManyLearners"),
  notLeader: named("notLeader"),
  badUrls: named("badMemberUrls"),
  /** etcd's server sends it without a code of its own. */
  notEnoughStarted: named("notEnoughStarted"),
  unhealthy: named("unhealthy"),
  timeout: named("timeout"),
} as const;
