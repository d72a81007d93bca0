// What the members and clients of a bench show each other. The load generator makes it; both servers get the same files.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generator } from "./load.mjs";

let directory;

/** Made once for all members of a bench. */
function filesOf(name) {
  if (directory === undefined) {
    directory = mkdtempSync(join(tmpdir(), "netcd-bench-tls-"));
    process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
    execFileSync(generator, ["certificates", `--directory=${directory}`]);
  }
  return { cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`), ca: join(directory, "ca.pem") };
}

/** All ECDSA P-256, from one CA. */
export class Certificates {
  /** @param {{ mutual: boolean }} options whether clients and members must show a certificate too */
  constructor({ mutual }) {
    this.mutual = mutual;
  }

  /** The member shows what the CA has signed, and with `mutual` asks whoever connects for the same. */
  serverFlags() {
    const { cert, key, ca } = filesOf("member");
    return ["", "peer-"].flatMap((side) => [
      `--${side}cert-file=${cert}`,
      `--${side}key-file=${key}`,
      // A member that dials has to know whom to believe.
      ...(this.mutual || side === "peer-" ? [`--${side}trusted-ca-file=${ca}`] : []),
      ...(this.mutual ? [`--${side}client-cert-auth`] : []),
    ]);
  }

  generatorFlags() {
    const { cert, key, ca } = filesOf("client");
    return this.mutual ? { ca, cert, key } : { ca };
  }
}
