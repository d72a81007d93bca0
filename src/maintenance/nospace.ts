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
  /** Answers the writes that were refused. */
  readonly answerRefused: () => void;
  readonly log: Logger;
}

export class NoSpaceAlarm {
  readonly #parts: NoSpaceParts;
  #raising: Promise<void> | null = null;

  constructor(parts: NoSpaceParts) {
    this.#parts = parts;
  }

  /**
   * The data plane refuses writes. They are answered when the alarm is set, so that who sees the error finds it, or
   * when it could not be: the next refusal tries again.
   */
  async quotaExceeded(): Promise<void> {
    const { memberId, alarms, answerRefused } = this.#parts;
    if (!alarms.list(AlarmType.NoSpace).some((alarm) => alarm.memberId === memberId)) {
      this.#raising ??= this.#raise();
      await this.#raising;
    }
    answerRefused();
  }

  async #raise(): Promise<void> {
    const { memberId, quotaBytes, changeAlarm, log } = this.#parts;
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
      this.#raising = null;
    }
  }
}
