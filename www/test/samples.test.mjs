// Every command and every piece of code in the documentation: run as its reader would, or shown to stand in what a test runs.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT, pages } from "./samples.mjs";

const EDGESEAL = join(ROOT, "target/debug/edgeseal");
const PATIENCE = 100_000;
/** `make` may have something to build. */
const BUILD = 600_000;

for (const { page, samples } of pages()) {
  if (samples.length === 0) continue;
  test(`the samples of ${page}`, { timeout: 2 * BUILD }, async (context) => {
    // A page that says where edgeseal is finds it there alone, in each of its terminals.
    const shell = new Shell(samples.some(({ text }) => text.includes("export PATH=")) ? [] : [join(ROOT, "target/debug")]);
    context.after(() => shell.end());
    for (const sample of samples) {
      assert.ok(sample.rule, `${sample.place}: no comment before this sample says how it is tested (samples.mjs)`);
      if (sample.rule === "tested") assertRead(sample);
      else if (sample.rule === "same as") assertStands(sample);
      else if (sample.rule === "covered") assertCovered(sample);
      else if (sample.rule === "checked") {
        writeFileSync(join(shell.folder, "wrangler.toml"), `${sample.text}\n`);
        await shell.run({ ...sample, text: "edgeseal edge check wrangler.toml" }, shell.folder);
      } else if (sample.rule === "settings") assertSettings(sample, shell.folder);
      else if (sample.rule === "commands") assertCommands(sample);
      else if (sample.rule === "save as") writeFileSync(join(shell.folder, sample.argument), `${sample.text}\n`);
      else if (sample.rule === "run in the background until") await shell.background(sample);
      else await shell.run(sample, sample.rule === "run in the repository" ? ROOT : shell.folder);
    }
  });
}

test("the samples of the repository's first page: each stands where a test runs it", (context) => {
  // What runs each: `gateway-config.test.mjs` the first steps, `overviews.test.mjs` the other commands, `samples.test.mjs` of the npm package
  // what is in TypeScript, and cargo the documentation of the core.
  const elsewhere = ["edge-wasm/README.md", "edge-wasm/npm/README.md", "signer-native/README.md", "core/src/lib.rs"]
    .map((file) => readFileSync(join(ROOT, file), "utf8").replaceAll(/^ *\/\/[!/] ?/gm, ""))
    .join("\n");
  const demo = readFileSync(join(ROOT, "tests/demo/demo.mjs"), "utf8");
  const npm = readFileSync(join(ROOT, "edge-wasm/npm/test/samples.test.mjs"), "utf8");
  const folder = mkdtempSync(join(tmpdir(), "edgeseal-front-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const front = readFileSync(join(ROOT, "README.md"), "utf8");
  const fences = [...front.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({ language, text, place: `README.md: ${text.split("\n", 1)[0]}` }));
  assert.ok(fences.length >= 10, "the page has samples");
  for (const { language, text, place } of fences) {
    if (elsewhere.includes(text.trimEnd())) continue;
    if (language === "ts") {
      assert.ok(npm.includes("../../README.md"), `${place}: the npm package's test does not run it`);
      continue;
    }
    if (language === "toml") {
      const file = join(folder, "wrangler.toml");
      writeFileSync(file, text);
      const { status, stderr } = spawnSync(EDGESEAL, ["edge", "check", file], { encoding: "utf8" });
      assert.equal(status, 0, `${place}: ${stderr}`);
    } else if (text.startsWith("$ make demo")) {
      for (const [, step] of text.matchAll(/^ {2}[✓✗] (\S+(?: \S+)*) {2,}/gm)) assert.ok(demo.includes(step), `${place}: the demo shows no "${step}"`);
    }
  }
});

test("each command that is named within a sentence exists, with the flags that it is named with", () => {
  const files = spawnSync("git", ["ls-files", "*.md"], { cwd: ROOT, encoding: "utf8" }).stdout.split("\n").filter((file) => file && !/^CHANGELOG|fuzz\/REPORT/.test(file));
  let named = 0;
  for (const file of files) {
    const prose = readFileSync(join(ROOT, file), "utf8").replaceAll(/^ *```[\s\S]*?^ *```$/gm, "");
    for (const [, code] of prose.matchAll(/`((?:edgeseal|make) [^`\n]+)`/g)) {
      named += 1;
      assertKnown(code.replaceAll("\\|", "|"), `${file}: ${code}`);
    }
  }
  assert.ok(named > 40, `${named} commands`);
});

/** A command of `make` or `edgeseal`, or several: each exists. */
function assertKnown(text, place) {
  const makefile = readFileSync(join(ROOT, "Makefile"), "utf8");
  for (const command of text.split(" && ")) {
    const [program, ...words] = command.split(" ");
    if (program === "make") {
      for (const target of words.filter((word) => /^[a-z]/.test(word))) assert.match(makefile, new RegExp(`^${target}:`, "m"), `${place}: there is no "make ${target}"`);
    } else if (program === "edgeseal") assertCommands({ text: command, place });
    else assert.match(command, /^npm pack |^wrangler kv key put /, `${place}: what is "${command}"?`);
  }
}

function assertStands({ text, argument, place }) {
  const file = readFileSync(join(ROOT, argument), "utf8");
  const documented = file.replaceAll(/^\/\/[!/] ?/gm, "");
  assert.ok([file, documented].some((known) => known.includes(text.trimEnd())), `${place}: does not stand in ${argument} any more`);
}

/** A test reads the page that the sample stands in, and does what it says. */
function assertRead({ argument, place }) {
  const page = place.split(":")[0].split("/").slice(-1)[0];
  assert.ok(readFileSync(join(ROOT, argument), "utf8").includes(page), `${place}: ${argument} does not read it`);
}

/** Another test does this: each command stands in it, whole. */
function assertCovered({ text, argument, place }) {
  assert.ok(existsSync(join(ROOT, argument)), `${place}: ${argument} is not there`);
  const file = readFileSync(join(ROOT, argument), "utf8");
  for (const line of text.split("\n").filter((line) => line && !line.startsWith("#"))) {
    const command = line.replace(/\s+#.*$/, "");
    assert.ok(file.includes(command), `${place}: nothing in ${argument} does "${command}"`);
  }
}

/** The doctor reads the settings whole before it looks for the files that they name. */
function assertSettings({ text, place }, folder) {
  const file = join(folder, "edgeseal.toml");
  writeFileSync(file, `${text}\n`);
  const { stdout, stderr } = spawnSync(EDGESEAL, ["doctor", "--config", file], { encoding: "utf8" });
  assert.match(stdout + stderr, /\/etc\/edgeseal\//, `${place}: ${stdout}${stderr}`);
}

/** `edgeseal keys list | show KID | retire KID --yes`: each alternative is a command with those flags, the last one also with those of the remark. */
function assertCommands({ text, place }) {
  const lines = text.split("\n").map((line) => line.replace(/^\$ /, "")).filter((line) => line.startsWith("edgeseal "));
  assert.ok(lines.length > 0, `${place}: no command of edgeseal's`);
  for (const line of lines) {
    const [alternatives, remark = ""] = line.split(/\s+#/, 2);
    const [first, ...more] = alternatives.split(" | ");
    const group = first.split(" ").slice(0, 2).join(" ");
    const commands = [first, ...more.map((alternative) => `${group} ${alternative}`)];
    for (const command of commands) {
      const words = command.split(" ");
      const end = words.findIndex((word, index) => index > 0 && !/^[a-z][a-z-]*$/.test(word));
      // A name in lower case (of a person, a file) is no subcommand: the longest part that has a help of its own is meant.
      let help;
      for (let length = end === -1 ? words.length : end; length > 1 && help === undefined; length -= 1) {
        const { status, stdout } = spawnSync(EDGESEAL, [...words.slice(1, length), "--help"], { encoding: "utf8" });
        // With words left over, what has subcommands has none of that name.
        if (status === 0 && (length === (end === -1 ? words.length : end) || !stdout.includes("<COMMAND>"))) help = stdout;
      }
      assert.ok(help, `${place}: there is no "${command}"`);
      const flags = (text) => text.match(/--[a-z][a-z-]*/g) ?? [];
      const known = new Set(flags(help));
      for (const flag of flags(command === commands.at(-1) ? `${command} ${remark}` : command)) assert.ok(known.has(flag), `${place}: "${command}": no ${flag}`);
    }
  }
}

/** A page's terminals, in a folder of its own: what one sample sets, the next one has, until one stays in the foreground. */
class Shell {
  folder = mkdtempSync(join(tmpdir(), "edgeseal-docs-"));
  #children = [];
  #bash;
  #path;

  constructor(path) {
    this.#path = path;
  }

  async run({ text, place }, folder) {
    this.#bash ??= this.#start();
    const end = `end-${Math.random().toString(36).slice(2)}`;
    const script = `set -eu -o pipefail; cd '${folder}'\n${text}\necho ${end} >&2\n`;
    const patience = folder === ROOT ? BUILD : PATIENCE;
    const said = await this.#until(this.#bash, end, patience, () => this.#bash.child.stdin.write(script));
    assert.ok(said.ended, `${place}: ${said.why}\n${said.text}`);
  }

  async background({ text, argument, place }) {
    const started = this.#bash ?? this.#start();
    // This terminal is taken: what comes next is typed into another one.
    this.#bash = undefined;
    started.text = "";
    started.child.stdin.end(`set -eu -o pipefail; cd '${this.folder}'\n{\n${text}\n} < /dev/null\n`);
    for (const began = Date.now(); !(await ready(argument, this.folder)); await sleep(200)) {
      assert.equal(started.child.exitCode, null, `${place}: ended before ${argument} answered\n${started.text}`);
      assert.ok(Date.now() - began < PATIENCE, `${place}: ${argument} does not answer\n${started.text}`);
    }
  }

  async end() {
    for (const { child } of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.on("exit", resolve));
      // The whole group: what a shell has started ends with it.
      process.kill(-child.pid, "SIGTERM");
      await Promise.race([gone, sleep(10_000).then(() => process.kill(-child.pid, "SIGKILL"))]);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #start() {
    const child = spawn("bash", ["--noprofile", "--norc"], {
      cwd: this.folder,
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, PATH: [...this.#path, process.env.PATH].join(delimiter), NO_COLOR: "1", EDGESEAL: ROOT.replace(/\/$/, "") },
    });
    const started = { child, text: "" };
    for (const pipe of [child.stdout, child.stderr]) pipe?.setEncoding("utf8").on("data", (chunk) => (started.text += chunk));
    this.#children.push(started);
    return started;
  }

  async #until(bash, end, patience, write) {
    bash.text = "";
    write();
    for (const began = Date.now(); ; await sleep(20)) {
      if (bash.text.includes(end)) return { ended: true };
      if (bash.child.exitCode !== null) return { ended: false, why: `a command failed (exit ${bash.child.exitCode})`, text: bash.text };
      if (Date.now() - began > patience) return { ended: false, why: "takes too long", text: bash.text };
    }
  }
}

/** Whether an address on this machine answers 200 (who it is does not matter here), or a file is there. */
function ready(what, folder) {
  if (!/^https?:/.test(what)) return existsSync(join(folder, what));
  const { get } = what.startsWith("https:") ? https : http;
  return new Promise((resolve) => {
    get(what, { rejectUnauthorized: false, timeout: 1000 }, (response) => resolve(response.resume().statusCode === 200))
      .on("error", () => resolve(false))
      .on("timeout", function abort() {
        this.destroy();
      });
  });
}
