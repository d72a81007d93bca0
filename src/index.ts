// What a program that runs a member itself imports.

export type { Config } from "./config/config.js";
export { type Loaded, loadConfig } from "./config/load.js";
export { Logger, type LoggerOptions } from "./log/logger.js";
export { openOutput } from "./log/outputs.js";
export { Member, StoppedError } from "./member/member.js";
export { AddonNotFound, loadBinding } from "./native/load.js";
