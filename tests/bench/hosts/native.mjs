// Native: a Rust binary, built for release, that answers lines.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { target } from "../../support/paths.mjs";
import { cpuMs } from "./cpu.mjs";

export const BINARY = join(target, "bench/native/release/edgeseal-bench-native");

export class NativeHost {
  name = "native";
  #cpu;
  #child;
  #lines;
  #folder;

  /** @param {{cpu?: boolean}} [options] cpu: take the processor's time, not the clock's */
  constructor({ cpu = false } = {}) {
    this.#cpu = cpu;
  }

  async start(fixtures) {
    if (!existsSync(BINARY)) throw new Error("native: the bench's binary is not built: run `make bench`");
    this.#folder = mkdtempSync(join(tmpdir(), "edgeseal-bench-"));
    const file = join(this.#folder, "fixtures.json");
    writeFileSync(file, JSON.stringify(fixtures));
    this.#child = spawn(BINARY, [file], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  names(algorithm) {
    return this.#ask("names", algorithm);
  }

  stats() {
    return null;
  }

  async run(cell) {
    const before = this.#cpu ? cpuMs(this.#child.pid) : 0;
    const passed = await this.#ask("run", cell);
    return this.#cpu ? cpuMs(this.#child.pid) - before : passed;
  }

  async stop() {
    this.#child?.kill("SIGKILL");
    if (this.#folder) rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ask(act, argument) {
    this.#child.stdin.write(`${JSON.stringify({ act, argument })}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`native: the process ended (${this.#child.exitCode ?? this.#child.signalCode})`);
    const { answer, trouble } = JSON.parse(value);
    if (trouble !== undefined) throw new Error(`native: ${trouble}`);
    return answer;
  }
}
