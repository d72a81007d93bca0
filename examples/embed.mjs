// A member of netcd inside this program: started with the flags given, asked for its health, stopped.
//   node examples/embed.mjs --data-dir data
// Needs `npm run build`. A program of its own imports from "netcd".

import { Logger, loadBinding, loadConfig, Member, openOutput } from "../dist/index.js";

const loaded = loadConfig(process.argv.slice(2), {});
if (loaded.kind !== "run") throw new Error("the flags are wrong");

const log = new Logger({ level: "warn", format: "json", outputs: [openOutput("stderr")] });
// Called when the member cannot go on: a disk that fails, for example.
const fatal = (reason) => {
  console.error(reason);
  process.exit(1);
};
const member = new Member(loaded.config, log, loadBinding(), fatal);

await member.start();
// Clients that connect earlier wait until now.
await member.ready;

const [url] = loaded.config.listenClientUrls;
const answer = await fetch(`http://${url.address}/health`);
console.log(await answer.text());

await member.stop();
