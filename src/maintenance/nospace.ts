// The alarm of a member whose database has reached its quota: raised through the log, so that all members refuse
// writes from the same entry on. It stays until somebody disarms it.

import { type Alarms, AlarmType } from "../cluster/alarms.js";
import { rpcError } from "../errors.js";
import { formatBytes } from "../log/bytes.js";
import type { Logger } from "../log/logger.js";
import type { ServiceContext } from "../services/context.js";

export interface NoSpaceParts {
  readonly memberId: bigint;
  readonly alarms: Alarms;
  readonly quotaBytes: number;
  readonly changeAlarm: ServiceContext["changeAlarm"];
  readonly log: Logger;
}

export class NoSpaceAlarm {
  readonly #parts: NoSpaceParts;
  #raising = false;

  constructor(parts: NoSpaceParts) {
    this.#parts = parts;
  }

  /** The data plane refused a write. Resolves when the alarm is set, or could not be: the next refusal tries again. */
  async quotaExceeded(): Promise<void> {
    const { memberId, alarms, quotaBytes, changeAlarm, log } = this.#parts;
    if (this.#raising || alarms.list(AlarmType.NoSpace).some((alarm) => alarm.memberId === memberId)) return;
    this.#raising = true;
    log.warn("message exceeded backend quota; raising alarm", {
      "quota-size-bytes": quotaBytes,
      "quota-size": formatBytes(quotaBytes),
      error: rpcError("noSpace").message,
    });
    try {
      await changeAlarm({ action: "activate", memberId, alarm: AlarmType.NoSpace });
    } catch (error) {
      log.warn("failed to raise alarm", { alarm: "NOSPACE", error: error as Error });
    } finally {
      this.#raising = false;
    }
  }
}
