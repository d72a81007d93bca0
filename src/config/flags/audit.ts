// Flags of the audit log, named as Kubernetes' API server names its own; etcd has none.

import { rowsOf } from "./spec.js";

const audit = rowsOf("Audit");

export const auditFlags = [
  audit(
    "audit-log-path",
    "string",
    "",
    "File of the audit log; empty = none is kept (netcd's own, as all of this group).",
  ),
  audit(
    "audit-policy-file",
    "string",
    "",
    "YAML or JSON file that says what is in the audit log; without one all that changes something, and all that is refused.",
  ),
  audit("audit-log-maxsize", "uint", "100", "Megabytes at which the audit log is rotated; 0 = never."),
  audit("audit-log-maxage", "uint", "0", "Days after which rotated audit logs are removed; 0 = never."),
  audit("audit-log-maxbackup", "uint", "10", "Rotated audit logs that are kept; 0 = all."),
] as const;
