// Another PKCS#11 client, OpenSC's pkcs11-tool, looks at the keys in the token: what it sees is what the signer promises.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { algorithmsOf, bench } from "../support/harness.mjs";
import { softhsm } from "../support/paths.mjs";

const run = promisify(execFile);
const here = bench("hsm");
let signer;

before(async () => { signer = await here.signer(); });

const tool = (...args) =>
  run("pkcs11-tool", ["--module", softhsm(), "--token-label", signer.ready.token_label, "--login", "--pin", "env:EDGESEAL_TEST_PIN", ...args], {
    env: { ...process.env, SOFTHSM2_CONF: signer.ready.softhsm_conf, EDGESEAL_TEST_PIN: readFileSync(signer.ready.pin_file, "utf8").trim() },
  });

test("every private key is sensitive, always sensitive, never extractable, local, and signs only", async () => {
  const { stdout } = await tool("--list-objects", "--type", "privkey");
  const objects = stdout.split(/(?=^Private Key Object)/m).filter((text) => text.startsWith("Private Key Object"));
  assert.ok(objects.length >= algorithmsOf(signer).length, `${objects.length} private keys for ${algorithmsOf(signer).length} algorithms`);
  for (const object of objects) {
    const access = /^\s*Access:\s*(.+)$/m.exec(object)?.[1].split(",").map((word) => word.trim()) ?? [];
    for (const word of ["sensitive", "always sensitive", "never extractable", "local"]) assert.ok(access.includes(word), `${word} is among ${access}\n${object}`);
    assert.equal(/^\s*Usage:\s*(.+)$/m.exec(object)?.[1].trim(), "sign", object);
  }
});

test("without the PIN no private key is visible", async () => {
  const { stdout } = await run("pkcs11-tool", ["--module", softhsm(), "--token-label", signer.ready.token_label, "--list-objects", "--type", "privkey"], {
    env: { ...process.env, SOFTHSM2_CONF: signer.ready.softhsm_conf },
  });
  assert.doesNotMatch(stdout, /Private Key Object/);
});

test("the PIN file is the owner's alone, and the PIN is in no log and no argument", async () => {
  const { statSync, readdirSync } = await import("node:fs");
  assert.equal(statSync(signer.ready.pin_file).mode & 0o777, 0o600);
  const pin = readFileSync(signer.ready.pin_file, "utf8").trim();
  assert.ok(pin.length >= 4);
  assert.ok(!signer.output().includes(pin));
  for (const part of ["cmdline", "environ"]) {
    const text = readFileSync(`/proc/${signer.ready.pid}/${part}`, "latin1");
    assert.ok(!text.includes(pin), `the PIN is not in the signer's ${part}`);
  }
  assert.ok(readdirSync(signer.state).length > 0);
});
