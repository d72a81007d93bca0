// Descriptors: clients may use what the process does not need itself, and a process that has no more than that does not
// start. The data plane keeps the clients' connections below it (native/front/src/admission.rs).

import { limits } from "../limits.js";
import type { NativeBinding } from "../native/binding.js";
import { FatalError } from "./failures.js";

/** Throws FatalError, with etcd's words, if no client could be served. */
export function requireDescriptors(binding: Pick<NativeBinding, "descriptorLimit">): void {
  const limit = binding.descriptorLimit();
  if (limit > limits.ownDescriptors) return;
  throw new FatalError("file descriptor limit of etcd process is too low; please set higher", {
    limit,
    "recommended-limit": limits.ownDescriptors,
  });
}
