// A client in JavaScript: the wire is etcd's, so all it takes is grpc-js and the protobuf files.
//   node examples/client.mjs 127.0.0.1:2379
// It puts a key, swaps its value if nobody else has changed it meanwhile, and reads what is below a prefix.

import { join } from "node:path";
import { promisify } from "node:util";
import { credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const endpoint = process.argv[2] ?? "127.0.0.1:2379";
const protos = join(import.meta.dirname, "../proto");
// Revisions have 64 bits, which a number of JavaScript does not hold.
const options = { includeDirs: [protos], longs: String, enums: String, defaults: true, oneofs: true };
const { etcdserverpb } = /** @type {any} */ (loadPackageDefinition(loadSync("rpc.proto", options)));

const kv = new etcdserverpb.KV(endpoint, credentials.createInsecure());
const call = (method, request) => promisify(kv[method].bind(kv))(request);

const key = Buffer.from("example/greeting");
const put = await call("Put", { key, value: Buffer.from("hello") });
console.log(`put at revision ${put.header.revision}`);

const swap = await call("Txn", {
  compare: [{ key, target: "MOD", result: "EQUAL", modRevision: put.header.revision }],
  success: [{ requestPut: { key, value: Buffer.from("hello, world") } }],
  failure: [],
});
console.log(swap.succeeded ? "swapped" : "somebody was faster");

// A prefix is the range that ends where its last byte is one more.
const range = await call("Range", { key: Buffer.from("example/"), rangeEnd: Buffer.from("example0") });
for (const found of range.kvs) console.log(`${found.key}: ${found.value} (version ${found.version})`);

kv.close();
