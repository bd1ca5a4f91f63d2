// The HTTP API against its own OpenAPI documents: schemathesis asks a running signer with a SoftHSM token everything that they
// allow, and much that they do not. No 5xx, no answer that the documents do not describe, nothing refused that they allow.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { bench } from "../support/harness.mjs";
import { target } from "../support/paths.mjs";
import { cli, keysGenerate } from "../support/signer.mjs";

// Seconds for each listener: what comes first is the edges of every schema, what is left of the time is random.
const SECONDS = 20;
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "negative_data_rejection",
  "unsupported_method",
];

const here = bench("openapi");
let signer;
let kid;

before(async () => {
  signer = await here.signer({ args: ["--admin", "127.0.0.1:0", "--alg", "ES256"] });
  kid = await keysGenerate(signer, "default");
});

for (const listener of ["public", "agents", "admin", "console"]) {
  test(`schemathesis finds nothing wrong on the ${listener} listener`, async () => {
    const { ready } = signer;
    const { issuer, agent, admin, agent_cert, agent_key, administrators } = ready;
    const url = { public: issuer, agents: agent, admin, console: admin }[listener].replace("127.0.0.1", "localhost");
    const identity = { public: [], agents: [agent_cert, agent_key], admin: [administrators[0].cert, administrators[0].key], console: [] }[listener];
    // Names of what is there, so that not everything ends at 404.
    const settings = join(here.directory, `${listener}.toml`);
    writeFileSync(settings, `[parameters]\nprofile = "default"\nagent = "demo-app"\nissuer = "~"\nkid = ${JSON.stringify(kid)}\n`);
    const args = ["--config-file", settings, "run", await document(listener, url), "--url", url, "--no-color"];
    args.push("--tls-verify", ready.ca, ...(identity.length ? ["--request-cert", identity[0], "--request-cert-key", identity[1]] : []));
    args.push("--phases", "examples,coverage,fuzzing", "-n", "10", "--max-time", String(SECONDS), "--no-shrink", "--generation-deterministic");
    args.push("--continue-on-failure", "--warnings", "off", "-c", CHECKS.join(","));
    // A stream of events has no end that a test could wait for.
    args.push("--exclude-path", "/admin/v1/activity/events");
    // As a page without a session has it.
    if (listener === "console") args.push("--header", "X-Edgeseal-CSRF: none");
    const { code, out } = await run(join(target, "python/bin/st"), args, here.directory);
    assert.equal(code, 0, out);
    const [, generated, passed] = out.match(/(\d+) generated, (\d+) passed/) ?? assert.fail(out);
    assert.equal(generated, passed, out);
    assert.ok(Number(generated) >= 100, `${generated} requests are few\n${out}`);
    // The whole document, but for that stream.
    const [, selected, total] = out.match(/Selected: (\d+)\/(\d+)/)?.map(Number) ?? assert.fail(out);
    const [, tested] = out.match(/Tested: (\d+)/)?.map(Number) ?? assert.fail(out);
    assert.deepEqual([selected, tested], [total - (listener === "admin" ? 1 : 0), selected], out);
    const { code: alive, err } = await cli(["keys", "list", "--dir", signer.state, "--json"]);
    assert.equal(alive, 0, err);
  });
}

/** Where a listener's document is: the console's is served nowhere, but printed. */
async function document(listener, url) {
  if (listener !== "console") return `${url}/openapi.json`;
  const { code, out, err } = await cli(["openapi", listener]);
  assert.equal(code, 0, err);
  const file = join(here.directory, "console.json");
  writeFileSync(file, out);
  return file;
}

/** Runs a command to its end, in a folder for what it leaves behind: {code, out}. */
function run(command, args, cwd) {
  return new Promise((done, failed) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding("utf8").on("data", (text) => (out += text));
    child.on("error", failed).on("close", (code) => done({ code, out }));
  });
}
