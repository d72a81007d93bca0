// A network of its own for three members: a namespace for every host, one switch that joins them, and no way out. A host
// can be unplugged, so that its packets vanish, and cut off from the other hosts alone. Needs root, iproute2 and nftables.
import { execFileSync } from "node:child_process";

const namePrefix = "netcd-bench-";
const network = "10.78.0";
// Where the load generator is; no host has it.
const generatorNumber = 254;
// Drops what comes from the addresses of the set, silently, as a cut cable would.
const rules = `table inet lab {
  set cut { type ipv4_addr; }
  chain input { type filter hook input priority 0; ip saddr @cut drop; }
}`;

let labsMade = 0;
const labs = new Set();

// No network outlives the bench, however it ends.
process.on("exit", () => {
  for (const lab of labs) lab.remove();
});

function run(command, input = "") {
  return execFileSync(command[0], command.slice(1), { encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] });
}

/** Why no lab can be made here; "" if one can. */
export function labMissing() {
  const probe = `${namePrefix}${process.pid}-probe`;
  try {
    run(["ip", "netns", "add", probe]);
  } catch (error) {
    return `no network namespaces: ${error.message}`;
  }
  try {
    run(["ip", "netns", "exec", probe, "nft", "-f", "-"], rules);
    return "";
  } catch (error) {
    return `no packet filter: ${error.message}`;
  } finally {
    run(["ip", "netns", "delete", probe]);
  }
}

/** One namespace of a lab. */
export class Host {
  constructor(lab, number) {
    this.lab = lab;
    this.address = `${network}.${number}`;
    this.namespace = `${lab.name}-h${number}`;
    this.port = `port${number}`;
  }

  /** What the command line of a program on this host begins with. */
  get enter() {
    return ["ip", "netns", "exec", this.namespace];
  }

  /** What the command line of a client begins with: it sits at the switch, so that cuts divide members only. */
  get reach() {
    return ["ip", "netns", "exec", this.lab.name];
  }

  /** From now on no packet comes or goes. */
  unplug() {
    run(["ip", "-n", this.lab.name, "link", "set", this.port, "down"]);
  }

  plug() {
    run(["ip", "-n", this.lab.name, "link", "set", this.port, "up"]);
  }

  /** Cuts it off from the other hosts; clients still reach it. */
  isolate() {
    const others = this.lab.hosts.filter((host) => host !== this);
    this.refuse(others);
    for (const other of others) other.refuse([this]);
  }

  refuse(hosts) {
    const addresses = hosts.map((host) => host.address).join(", ");
    run([...this.enter, "nft", "add", "element", "inet", "lab", "cut", `{ ${addresses} }`]);
  }
}

/** A network with so many hosts. */
export class Lab {
  constructor(size) {
    labsMade++;
    this.name = `${namePrefix}${process.pid}-${labsMade}`;
    this.made = [];
    this.hosts = Array.from({ length: size }, (_, at) => new Host(this, at + 1));
    labs.add(this);
    this.addNamespace(this.name);
    const wires = ["ip", "-n", this.name];
    run([...wires, "link", "add", "switch", "type", "bridge"]);
    run([...wires, "address", "add", `${network}.${generatorNumber}/24`, "dev", "switch"]);
    run([...wires, "link", "set", "switch", "up"]);
    for (const host of this.hosts) this.join(host);
  }

  addNamespace(name) {
    run(["ip", "netns", "add", name]);
    this.made.push(name);
    run(["ip", "-n", name, "link", "set", "lo", "up"]);
  }

  join({ namespace, address, port, enter }) {
    this.addNamespace(namespace);
    const wires = ["ip", "-n", this.name];
    run([...wires, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
    run([...wires, "link", "set", port, "master", "switch", "up"]);
    run(["ip", "-n", namespace, "address", "add", `${address}/24`, "dev", "eth0"]);
    run(["ip", "-n", namespace, "link", "set", "eth0", "up"]);
    run([...enter, "nft", "-f", "-"], rules);
  }

  /** Ends all isolation. */
  heal() {
    for (const host of this.hosts) run([...host.enter, "nft", "flush", "set", "inet", "lab", "cut"]);
  }

  remove() {
    labs.delete(this);
    for (const name of this.made.splice(0).reverse()) run(["ip", "netns", "delete", name]);
  }
}
