// bcrypt in a pool of threads, as few and as polite as a server needs whose cores are meant for other work.

import { Buffer } from "node:buffer";
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import { limits } from "../limits.js";

/** What a thread is given; the answer is a boolean with a hash, else the hash. */
interface Task {
  readonly password: Uint8Array;
  readonly hash: string | null;
  readonly cost: number;
}

export interface Hashing {
  hash(password: Uint8Array, cost: number): Promise<string>;
  /** False also for what is no hash of bcrypt. */
  verify(password: Uint8Array, hash: string): Promise<boolean>;
  /** Jobs that run at the same time. */
  readonly width: number;
  stop(): Promise<void>;
}

const THREAD_FILE = new URL("./bcryptthread.js", import.meta.url).href;

/** Behind everything else that wants the processor. */
const NICE_INCREMENT = 10;

export class HashingThreads implements Hashing {
  readonly width = Math.max(1, availableParallelism() - 1);
  #pool: Piscina<Task, boolean | string> | null = null;
  #stopped = false;

  /** `failed`: a thread ended by an error that was no job's, which is another one's to do. */
  constructor(private readonly failed: (error: Error) => void) {}

  async hash(password: Uint8Array, cost: number): Promise<string> {
    return String(await this.#run({ password, hash: null, cost }));
  }

  async verify(password: Uint8Array, hash: string): Promise<boolean> {
    return (await this.#run({ password, hash, cost: 0 })) === true;
  }

  /** The threads come with the first job: most members never see a password. */
  #run(task: Task): Promise<boolean | string> {
    if (this.#stopped) return Promise.reject(new Error("the threads for passwords have ended"));
    this.#pool ??= this.#open();
    return this.#pool.run({ ...task, password: Buffer.from(task.password) });
  }

  #open(): Piscina<Task, boolean | string> {
    const pool = new Piscina<Task, boolean | string>({
      filename: THREAD_FILE,
      minThreads: 0,
      maxThreads: this.width,
      idleTimeout: limits.idleHashingThreadMs,
      niceIncrement: process.platform === "win32" ? 0 : NICE_INCREMENT,
      // A thread that waits for work blocks on it otherwise, and then does not see that it may end.
      atomics: "disabled",
    });
    // Nobody listening would end the process.
    pool.on("error", (error: Error) => this.failed(error));
    return pool;
  }

  /** A thread that hashes cannot be interrupted: it ends when it is done, or with the process. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#pool === null) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limits.hashingStopMs);
    });
    await Promise.race([this.#pool.destroy(), late]);
    clearTimeout(timer);
  }
}
