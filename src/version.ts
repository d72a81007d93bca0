// The versions that netcd stands for, and its own.

/** The version of etcd whose behaviour netcd has. */
export const ETCD_VERSION = "3.7.3";
/** The version that a cluster of such members decides on. */
export const CLUSTER_VERSION = "3.7.0";
/** The oldest version of a cluster that this server could be in. */
export const MIN_CLUSTER_VERSION = "3.0.0";
/** The version of etcd's storage whose content netcd keeps. */
export const STORAGE_VERSION = "3.7.0";
/** netcd's own version. */
export const NETCD_VERSION = "0.1.0";
