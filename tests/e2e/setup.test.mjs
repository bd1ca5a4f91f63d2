// What the Makefile says and does when something is missing on the machine.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bench } from "../support/harness.mjs";
import { root, which } from "../support/paths.mjs";

const here = bench("setup");

/** A machine with nothing but a shell's basics and what the test puts there. */
function machine(name, { user, apt }) {
  const bin = join(here.directory, name);
  spawnSync("mkdir", ["-p", bin]);
  for (const tool of ["sh", "dirname", "cat"]) symlinkSync(which(tool), join(bin, tool));
  const script = (file, text) => { writeFileSync(join(bin, file), `#!${which("sh")}\n${text}\n`); chmodSync(join(bin, file), 0o755); };
  script("id", `echo ${user}`);
  if (apt) script("apt-get", `echo "apt-get $*" >> ${join(here.directory, `${name}.log`)}; exit 3`);
  return { PATH: bin };
}

const system = (env, ...things) => spawnSync(which("sh"), [join(root, "tests/scripts/system.sh"), ...things], { encoding: "utf8", env });

test("nothing missing: nothing is installed", () => {
  const result = system({ PATH: process.env.PATH }, "node", "softhsm", "chromium", "pkcs11-tool");
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /nothing missing/);
});

test("as an ordinary user the exact command is printed, nothing is run, and make fails", () => {
  const result = system(machine("user", { user: 1000, apt: true }), "chromium", "pkcs11-tool");
  assert.equal(result.status, 1);
  assert.match(result.stderr, /sudo apt-get update && sudo apt-get install -y --no-install-recommends chromium opensc$/m);
  assert.equal(result.stderr.trim().split("\n").length, 1);
});

test("without apt the packages are named, and make fails", () => {
  const result = system(machine("other", { user: 0, apt: false }), "chromium");
  assert.equal(result.status, 1);
  assert.match(result.stderr, /missing: chromium/);
});

test("an unknown make step is one sentence", () => {
  const result = spawnSync(process.execPath, [join(root, "tests/scripts/prepare.mjs"), "nonsense"], { encoding: "utf8" });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /no step named nonsense/);
});

test("make help lists every target with what it does", () => {
  const { stdout, status } = spawnSync("make", ["--no-print-directory", "help"], { cwd: root, encoding: "utf8" });
  assert.equal(status, 0);
  for (const name of ["demo", "demo-stop", "test", "conformance", "edge", "tools", "lint", "docs", "setup"]) assert.match(stdout, new RegExp(`make ${name} +\\S`));
});
