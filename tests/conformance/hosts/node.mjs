// Node: a child process that imports the packed npm package under the condition `node`.
import { fork } from "node:child_process";
import { join } from "node:path";

import { stageFor } from "../stage.mjs";
import { PACKAGE_MODES } from "./modes.mjs";

export class NodeHost {
  name = "node";
  modes = PACKAGE_MODES;
  chunk = { bytes: 4 << 20, lines: 512 };
  #root;
  #child;

  constructor({ root }) {
    this.#root = root;
  }

  async start() {
    const stage = await stageFor(this.#root);
    this.#child = fork(join(stage, "node.mjs"), { serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await this.#answer();
  }

  async judge(chunk, mode) {
    const answer = this.#answer();
    this.#child.send({ chunk, mode });
    return answer;
  }

  /** A case of inside/dos.mjs. */
  async hostile(name) {
    const answer = this.#answer();
    this.#child.send({ hostile: name });
    return answer;
  }

  async stop() {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }

  #answer() {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const settle = (finish) => (value) => {
        child.off("message", onMessage).off("exit", onExit).off("error", onError);
        finish(value);
      };
      const onMessage = settle(resolve);
      const onExit = settle((status) => reject(new Error(`node: the process ended with ${status}`)));
      const onError = settle((error) => reject(new Error(`node: ${error.message}`)));
      child.on("message", onMessage).on("exit", onExit).on("error", onError);
    });
  }
}
