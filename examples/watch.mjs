// A watch in JavaScript: what happens below a prefix, from a revision on, so that nothing is missed in between.
//   node examples/watch.mjs 127.0.0.1:2379 example/ 1 4
// shows four events from revision 1 on and ends.

import { join } from "node:path";
import { credentials, loadPackageDefinition, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [endpoint = "127.0.0.1:2379", prefix = "example/", from = "0", count = "Infinity"] = process.argv.slice(2);
const protos = join(import.meta.dirname, "../proto");
const options = { includeDirs: [protos], longs: String, enums: String, defaults: true, oneofs: true };
const { etcdserverpb } = /** @type {any} */ (loadPackageDefinition(loadSync("rpc.proto", options)));

/** The first key behind all that begin with the prefix. */
function endOf(text) {
  const end = Buffer.from(text);
  end[end.length - 1] += 1;
  return end;
}

const client = new etcdserverpb.Watch(endpoint, credentials.createInsecure());
const stream = client.Watch();
let left = Number(count);

stream.on("data", (answer) => {
  if (answer.canceled) {
    // A compaction took what was asked for; a program reads the keys anew and goes on from there.
    console.error(`cancelled: compacted at revision ${answer.compactRevision}`);
    process.exitCode = 1;
    stream.cancel();
  }
  for (const { type, kv } of answer.events) {
    if (left-- > 0) console.log(`${kv.modRevision} ${type} ${kv.key} ${kv.value}`);
  }
  if (left <= 0) stream.cancel();
});
// Watches go on until the client cancels the stream: to end its own side only is not enough.
stream.on("error", (error) => {
  client.close();
  if (error.code === status.CANCELLED) return;
  console.error(error.message);
  process.exitCode = 1;
});

stream.write({ createRequest: { key: Buffer.from(prefix), rangeEnd: endOf(prefix), startRevision: from } });
