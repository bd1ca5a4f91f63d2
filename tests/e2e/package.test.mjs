// What `npm pack` publishes, and that it works where users put it: installed from the tarball, beside nothing else.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { AUDIENCE, bench, tokenOf } from "../support/harness.mjs";
import { node22, path, root, systemNode } from "../support/paths.mjs";
import { flipSignatureBit } from "../support/tamper.mjs";

const run = promisify(execFile);
const here = bench("package");
let packed, project;

before(async () => {
  const npm = join(root, "edge-wasm/npm");
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", here.directory], { cwd: npm, env: { ...process.env, PATH: path, npm_config_loglevel: "error" } });
  const answer = JSON.parse(stdout);
  [packed] = Array.isArray(answer) ? answer : Object.values(answer);
  project = join(here.directory, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{"name":"app","private":true,"type":"module"}');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(here.directory, packed.filename)], { cwd: project, env: { ...process.env, PATH: path, npm_config_loglevel: "error" } });
});

test("the tarball holds the package, its types, the WebAssembly, a README and the licence, and nothing else", () => {
  const files = packed.files.map((file) => file.path).sort();
  for (const wanted of ["package.json", "README.md", "LICENSE"]) assert.ok(files.includes(wanted), `${wanted} is among ${files}`);
  const strange = files.filter((file) => !["package.json", "README.md", "LICENSE"].includes(file) && !/^dist\/.+\.(js|js\.map|d\.ts)$/.test(file) && !/^wasm\/.+\.(wasm|js|d\.ts)$/.test(file));
  assert.deepEqual(strange, []);
  const manifest = JSON.parse(readFileSync(join(project, "node_modules/edgeseal/package.json"), "utf8"));
  assert.deepEqual(Object.keys(manifest.dependencies ?? {}), [], "no dependencies");
  for (const script of ["preinstall", "install", "postinstall", "prepare"]) assert.equal(manifest.scripts?.[script], undefined, `no ${script} script`);
  for (const entry of exportsOf(manifest.exports)) assert.ok(files.includes(entry.replace(/^\.\//, "")), `${entry} of "exports" is in the tarball`);
});

for (const [build, limit] of Object.entries({ edge: 120_000, full: 260_000 })) {
  test(`the ${build} build is one WebAssembly module of at most ${limit / 1000} kB gzipped`, () => {
    const modules = packed.files.filter((file) => file.path.endsWith(`${build}_bg.wasm`));
    assert.equal(modules.length, 1);
    const size = gzipSync(readFileSync(join(project, "node_modules/edgeseal", modules[0].path)), { level: 9 }).length;
    console.log(`WebAssembly, ${build} build: ${(size / 1000).toFixed(1)} kB gzipped`);
    assert.ok(size <= limit, `${size} bytes`);
  });
}

test("the Worker's bundle is at most 300 kB gzipped", async () => {
  const out = join(here.directory, "worker-bundle");
  await run(node22, [join(root, "edge-wasm/npm/node_modules/wrangler/bin/wrangler.js"), "deploy", "--dry-run", "--outdir", out], {
    cwd: root, env: { ...process.env, PATH: path, CI: "1", DO_NOT_TRACK: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: join(here.directory, "wrangler-logs") },
  });
  const { readdirSync } = await import("node:fs");
  const files = readdirSync(out).filter((name) => /\.(js|wasm)$/.test(name));
  assert.ok(files.some((name) => name.endsWith(".wasm")));
  const size = files.reduce((total, name) => total + gzipSync(readFileSync(join(out, name)), { level: 9 }).length, 0);
  console.log(`Worker bundle: ${(size / 1000).toFixed(1)} kB gzipped (${files.join(", ")})`);
  assert.ok(size <= 300_000, `${size} bytes`);
});

for (const [name, node] of [["Node 22", node22], ["the system's Node", systemNode()]]) {
  test(`${name}: the installed package finds the signer by discovery and verifies a token from the HSM`, async () => {
    const signer = await shared();
    const token = await tokenOf(signer);
    writeFileSync(join(project, "app.mjs"), `
      import { createVerifier } from "edgeseal";
      const verifier = createVerifier({ issuer: process.argv[2], audience: process.argv[3], algorithms: ["ES256"] });
      const { claims, header } = await verifier.verify(process.argv[4]);
      let code;
      try { await verifier.verify(process.argv[5]); } catch (error) { code = error.code; }
      console.log(JSON.stringify({ sub: claims.sub, alg: header.alg, code }));
    `);
    const { stdout } = await run(node, ["app.mjs", signer.ready.issuer, AUDIENCE, token, flipSignatureBit(token)], { cwd: project, env: { ...process.env, NODE_EXTRA_CA_CERTS: signer.ready.ca } });
    assert.deepEqual(JSON.parse(stdout), { sub: "alice", alg: "ES256", code: "signature_invalid" });
  });
}

let started;
const shared = () => (started ??= here.signer());

function exportsOf(value) {
  return typeof value === "string" ? [value] : Object.values(value).flatMap(exportsOf);
}
