// Watch streams over a scripted data plane: order, ends, and what is left behind.

import { expect, test } from "vitest";
import { limits } from "../limits.js";
import { etcdserverpb } from "../proto/index.js";
import { toInt64 } from "../wire/int64.js";
import type { Caller } from "./binding.js";
import { WatchStreams } from "./watch.js";

class FakeEngine {
  readonly calls: string[] = [];
  watchOpen = (stream: number, caller: Caller): void =>
    void this.calls.push(`open ${stream} ${JSON.stringify(caller)}`);
  watchSend = (stream: number, request: Uint8Array): void => {
    const id = etcdserverpb.WatchRequest.decode(request).cancelRequest?.watchId;
    this.calls.push(`send ${stream} cancel ${id}`);
  };
  watchClose = (stream: number): void => void this.calls.push(`close ${stream}`);
}

function message(stream: number, reason: string) {
  const data = etcdserverpb.WatchResponse.encode({ cancelReason: reason }).finish();
  return { type: "watchMessage", stream, data } as const;
}

test("responses come in order, before and after they are asked for", async () => {
  const engine = new FakeEngine();
  const streams = new WatchStreams(engine);
  const [one, two] = [streams.open({ user: "u", revision: 3 }), streams.open("internal")];
  streams.deliver(message(1, "a"));
  streams.deliver(message(2, "other"));
  streams.deliver(message(1, "b"));
  one.send({ cancelRequest: { watchId: toInt64(7) } });
  const seen: string[] = [];
  for await (const { cancelReason } of one) {
    seen.push(cancelReason);
    if (seen.length === 2) setImmediate(() => streams.deliver(message(1, "c")));
    if (seen.length === 3) break;
  }
  expect(seen).toEqual(["a", "b", "c"]);
  expect((await two.next()).value.cancelReason).toBe("other");
  expect(engine.calls).toEqual(['open 1 {"user":"u","revision":3}', 'open 2 "internal"', "send 1 cancel 7", "close 1"]);
});

test("a closed stream says nothing more", async () => {
  const engine = new FakeEngine();
  const streams = new WatchStreams(engine);
  const stream = streams.open(null);
  const waiting = stream.next();
  stream.close();
  stream.close();
  stream.send({ cancelRequest: { watchId: toInt64(1) } });
  streams.deliver(message(1, "late"));
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(await stream.next()).toEqual({ done: true, value: undefined });
  expect(engine.calls).toEqual(["open 1 null", "close 1"]);
});

test("an error reaches who waits, or who asks next", async () => {
  const streams = new WatchStreams(new FakeEngine());
  const [one, two] = [streams.open(null), streams.open(null)];
  const waiting = one.next();
  streams.closeAll(new Error("stopped"));
  await expect(waiting).rejects.toThrow("stopped");
  await expect(two.next()).rejects.toThrow("stopped");
  expect((await two.next()).done).toBe(true);
});

test("a stream that nobody reads ends", async () => {
  const engine = new FakeEngine();
  const streams = new WatchStreams(engine);
  const stream = streams.open(null);
  for (let i = 0; i <= limits.watchResponsesMax; i += 1) streams.deliver(message(1, "x"));
  await expect(stream.next()).rejects.toThrow("not read");
  expect(engine.calls).toEqual(["open 1 null", "close 1"]);
});
