// Native: the `edgeseal` binary reads lines on standard input, as a user would run it.
import { spawn } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

import { NATIVE_MODES } from "./modes.mjs";

export class NativeHost {
  name = "native";
  modes = NATIVE_MODES;
  /** Octets and lines of a chunk: each is one process. */
  chunk = { bytes: 8 << 20, lines: 1024 };
  #binary;
  #running;

  constructor({ root }) {
    this.#binary = nativeBinary(root);
  }

  async start() {
    if (!this.#binary || !existsSync(this.#binary)) {
      throw new Error("native: the edgeseal binary is not built: run `make signer`, or name one in EDGESEAL_BIN");
    }
  }

  judge(chunk, { backend }) {
    return new Promise((resolve, reject) => {
      const child = spawn(this.#binary, ["verify", "--jsonl", "--timing", ...(backend ? ["--backend", backend] : [])], { stdio: ["pipe", "pipe", "pipe"] });
      this.#running = child;
      const output = [];
      let trouble = "";
      child.on("error", (error) => reject(new Error(`native: ${error.message}`)));
      child.stdout.on("data", (data) => output.push(data));
      child.stderr.on("data", (data) => (trouble = (trouble + data).slice(-2000)));
      // A process that ends early closes the pipe; the verdicts that are missing tell of it.
      child.stdin.on("error", () => {});
      child.on("close", (status, signal) => {
        this.#running = undefined;
        if (status !== 0) {
          reject(new Error(`native: edgeseal verify --jsonl ended with ${signal ?? `exit code ${status}`}: ${trouble.trim().split("\n").at(-1)}`));
          return;
        }
        try {
          const text = Buffer.concat(output).toString("utf8");
          resolve(text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)));
        } catch (error) {
          reject(new Error(`native: a verdict is not JSON: ${error.message}`));
        }
      });
      child.stdin.end(chunk);
    });
  }

  async stop() {
    this.#running?.kill("SIGKILL");
  }
}

/** The binary that EDGESEAL_BIN names, or the one that was built last; `undefined` where there is none. */
export function nativeBinary(root) {
  if (process.env.EDGESEAL_BIN) return process.env.EDGESEAL_BIN;
  const folder = resolve(root, process.env.CARGO_TARGET_DIR || "target");
  const built = ["debug", "release"].map((profile) => join(folder, profile, "edgeseal")).filter((file) => existsSync(file));
  return built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}
