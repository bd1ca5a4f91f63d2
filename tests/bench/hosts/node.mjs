// Node: a child process that imports the contestants without a bundler.
import { fork } from "node:child_process";
import { join } from "node:path";

import { stage } from "../stage.mjs";
import { cpuMs } from "./cpu.mjs";

export class NodeHost {
  name = "node";
  #cpu;
  #child;

  /** @param {{cpu?: boolean}} [options] cpu: take the processor's time, not the clock's */
  constructor({ cpu = false } = {}) {
    this.#cpu = cpu;
  }

  async start(fixtures) {
    this.#child = fork(join(await stage(), "bench/node.mjs"), { serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await this.#answer();
    await this.#ask("load", fixtures);
  }

  names(algorithm) {
    return this.#ask("names", algorithm);
  }

  stats(cell) {
    return this.#ask("stats", cell);
  }

  /** The milliseconds that a batch took. */
  async run(cell) {
    const before = this.#cpu ? cpuMs(this.#child.pid) : 0;
    const passed = await this.#ask("run", cell);
    return this.#cpu ? cpuMs(this.#child.pid) - before : passed;
  }

  async stop() {
    this.#child?.kill("SIGKILL");
  }

  #ask(act, argument) {
    const answer = this.#answer();
    this.#child.send({ act, argument });
    return answer;
  }

  #answer() {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const settle = (finish) => (value) => {
        child.off("message", onMessage).off("exit", onExit);
        finish(value);
      };
      const onMessage = settle(({ answer, trouble }) => (trouble === undefined ? resolve(answer) : reject(new Error(`node: ${trouble}`))));
      const onExit = settle((status) => reject(new Error(`node: the process ended with ${status}`)));
      child.on("message", onMessage).on("exit", onExit);
    });
  }
}
