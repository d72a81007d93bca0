// The fields of etcd's log line "request stats", in its order and with its names.

import type { Fields } from "../log/logger.js";
import type { NativeEvent } from "../native/binding.js";

export function requestStats(event: Extract<NativeEvent, { type: "requestStats" }>): Fields {
  return {
    "start time": { timeUs: event.startUs },
    "time spent": event.spent,
    remote: event.peer,
    "response type": event.path,
    "request count": event.requestCount,
    "request size": event.requestBytes,
    "response count": event.responseCount,
    "response size": event.responseBytes,
    "request content": event.content,
  };
}
