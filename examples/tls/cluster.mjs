// Three members of one cluster on this machine, with certificates for whoever connects: members among themselves, and
// clients. Whom a client is, its certificate says: its common name is the user. Needs openssl; Ctrl-C ends all.
//
//   node examples/tls/cluster.mjs pki            # certificates in pki/, which are made where there are none
//   node examples/tls/cluster.mjs pki 1 2 3 4 5 6      # on these ports: one for clients and one for members, three times
//
// NETCD names another server, as etcd.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync } from "node:fs";
import { join, resolve } from "node:path";

const names = ["infra1", "infra2", "infra3"];
const host = "127.0.0.1";

const [directory, ...given] = process.argv.slice(2);
const ports = given.length === 0 ? ["2379", "2380", "2381", "2382", "2383", "2384"] : given;
if (directory === undefined || ports.length !== 2 * names.length) {
  console.error("usage: node examples/tls/cluster.mjs DIRECTORY [SIX PORTS]");
  process.exit(2);
}
const pki = resolve(directory);
const server = process.env.NETCD ?? join(import.meta.dirname, "../../bin/netcd");

/** @param {string[]} words */
function certificates(...words) {
  execFileSync("sh", [join(import.meta.dirname, "certificates.sh"), pki, ...words], { stdio: "inherit" });
}

if (!existsSync(join(pki, "ca.crt"))) {
  certificates("ca");
  for (const name of names) certificates("member", name, host, "localhost");
  for (const name of ["root", "app"]) certificates("client", name);
}

const members = names.map((name, place) => {
  const [client, peer] = ports.slice(2 * place).map((port) => `https://${host}:${port}`);
  return { name, client, peer };
});
const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");

/** What both sides of a member take: who it is, and whom it believes. */
const trust = (/** @type {string} */ name, /** @type {"" | "peer-"} */ side) => [
  `--${side}cert-file=${join(pki, `${name}.crt`)}`,
  `--${side}key-file=${join(pki, `${name}.key`)}`,
  `--${side}trusted-ca-file=${join(pki, "ca.crt")}`,
  `--${side}client-cert-auth`,
];

mkdirSync(join(pki, "data"), { recursive: true });
const processes = members.map(({ name, client, peer }) => {
  const log = openSync(join(pki, `${name}.log`), "a");
  const flags = [
    ...[`--name=${name}`, `--data-dir=${join(pki, "data", name)}`, `--initial-cluster=${cluster}`],
    ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`, ...trust(name, "")],
    ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, ...trust(name, "peer-")],
    // netcd reads either form; etcd only lists in DER, so that it gets none here.
    ...(process.env.NETCD === undefined ? [`--client-crl-file=${join(pki, "crl.pem")}`] : []),
  ];
  const started = spawn(server, flags, { stdio: ["ignore", log, log] });
  started.on("exit", (code, signal) => console.log(`${name} ended (${signal ?? `code ${code}`})`));
  return started;
});
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.on(signal, () => {
    for (const each of processes) each.kill(signal);
  });
}

console.log(`logs and data are in ${pki}; etcdctl as the user root:
export ETCDCTL_ENDPOINTS=${members.map(({ client }) => client).join(",")}
export ETCDCTL_CACERT=${pki}/ca.crt ETCDCTL_CERT=${pki}/root.crt ETCDCTL_KEY=${pki}/root.key`);
