// What --help and --version print.

import { arch, platform } from "node:process";
import { ETCD_VERSION, NETCD_VERSION } from "../version.js";
import { type FlagSpec, LISTED_FLAGS } from "./flags/index.js";

/** How the server is called; printed on stderr after a mistake on the command line. */
export const USAGE = `Usage:

  netcd [flags]
    Start a member.

  netcd --version
    Show the versions of etcd that netcd stands for and of netcd.

  netcd -h | --help
    Show every flag.

  netcd --config-file <path>
    Start a member with a YAML or JSON file; other flags and ETCD_ variables are then ignored.
    Durations in the file are integer nanoseconds.
`;

/** All flags by group, with their defaults. */
export function flagHelp(): string {
  const lines: string[] = [];
  let group = "";
  for (const flag of LISTED_FLAGS) {
    if (flag.group !== group) {
      group = flag.group;
      lines.push("", `${group}:`);
    }
    lines.push(`  --${flag.name} '${flag.default}'`);
    lines.push(`    ${flag.help}${flag.missing === null ? "" : ` Not supported yet: ${flag.missing}.`}${idle(flag)}`);
  }
  return `${lines.join("\n")}\n`;
}

const idle = ({ idle: reason }: FlagSpec) => (reason === null ? "" : ` Taken, but ${reason}.`);

/** The names that Go has for this platform, because tools read these lines. */
export function goPlatform(): string {
  const architectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return `${platform}/${architectures[arch] ?? arch}`;
}

/** Four lines as etcd's, then netcd's own. */
export function versionText(): string {
  return [
    `etcd Version: ${ETCD_VERSION}`,
    `Git SHA: netcd-${NETCD_VERSION}`,
    `Go Version: none (Node.js ${process.version})`,
    `Go OS/Arch: ${goPlatform()}`,
    `netcd Version: ${NETCD_VERSION}`,
    "",
  ].join("\n");
}
