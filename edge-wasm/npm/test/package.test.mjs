// The package as users get it: packed, installed beside nothing, imported, compiled against.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { CHECKS } from "edgeseal";

import { compile, here, installPacked, run } from "./packed.mjs";

const bin = (name) => join(here, "node_modules", ".bin", name);
const { exports, ...manifest } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
let packed, project;

before(() => {
  packed = installPacked({ beside: ["hono", "express", "@types", "zod", "valibot", "@standard-schema"] });
  project = packed.project;
});

after(() => packed.remove());

test("holds what users need and nothing else", () => {
  const expected = /^(dist\/[a-z-]+\.(js|js\.map|d\.ts)|wasm\/(?:edge|full)(?:_bg)?\.(js|d\.ts|wasm)|README\.md|LICENSE|package\.json)$/;
  assert.deepEqual(packed.files.filter((path) => !expected.test(path)), []);
  for (const path of ["LICENSE", "README.md", "dist/browser.js", "dist/index.d.ts", "dist/node.js", "dist/workerd.js"]) {
    assert.ok(packed.files.includes(path), path);
  }
  const paths = (value) => (typeof value === "string" ? [value] : Object.values(value).flatMap(paths));
  for (const path of paths(exports)) assert.ok(existsSync(join(packed.installed, path)), path);
  assert.equal(manifest.dependencies, undefined);
  for (const name of Object.keys(manifest.peerDependencies)) assert.equal(manifest.peerDependenciesMeta[name]?.optional, true, name);
  assert.deepEqual(Object.keys(manifest.scripts).filter((name) => /install|prepare/.test(name)), []);
});

test("publint and Are The Types Wrong find nothing", () => {
  run(bin("publint"), ["run", packed.tarball, "--strict"], project);
  // The package is ES modules only: what a CommonJS build would need is not asked.
  // Nor are types of the WebAssembly's files, which are there to be copied.
  const files = Object.keys(exports).filter((name) => name.endsWith(".wasm")).map((name) => name.slice("./".length));
  run(bin("attw"), [packed.tarball, "--profile", "esm-only", "--no-definitely-typed", "--exclude-entrypoints", ...files], project);
});

test("every entry exports the same names as the types", async () => {
  const types = readFileSync(join(packed.installed, "dist", "index.d.ts"), "utf8");
  const declared = [...types.matchAll(/export declare function (\w+)/g)].map(([, name]) => name);
  const reexported = [...types.matchAll(/export \{ (.*?) \}/g)].flatMap(([, names]) => names.split(", "));
  const expected = [...new Set([...declared, ...reexported.filter((name) => !name.startsWith("type "))])].sort();
  assert.deepEqual(Object.keys(await import("edgeseal")).sort(), expected);
  for (const entry of ["browser", "workerd"]) {
    const source = readFileSync(join(packed.installed, "dist", `${entry}.js`), "utf8");
    const values = [...source.matchAll(/export const \{ (.*?) \}|export \{ (.*?) \}/g)].flatMap(([, a, b]) => (a ?? b).split(", "));
    assert.deepEqual(values.sort(), expected, entry);
  }
});

test("source maps lead to the TypeScript, which they carry", () => {
  for (const path of packed.files.filter((path) => /^dist\/.*\.js$/.test(path))) {
    const file = join(packed.installed, path);
    const [, name] = /\/\/# sourceMappingURL=(\S+)\s*$/.exec(readFileSync(file, "utf8")) ?? [];
    assert.ok(name, `${path} names its map`);
    const { sources, sourcesContent } = JSON.parse(readFileSync(join(packed.installed, "dist", name), "utf8"));
    assert.deepEqual(sources, [path.replace(/^dist\/(.*)\.js$/, "../src/$1.ts")]);
    assert.equal(sourcesContent[0], readFileSync(join(here, "src", sources[0].slice("../src/".length)), "utf8"), path);
  }
  writeFileSync(join(project, "mapped.mjs"), 'import { createVerifier } from "edgeseal"; try { createVerifier(); } catch (error) { console.log(error.stack); }');
  assert.match(run(process.execPath, ["--enable-source-maps", "mapped.mjs"], project), /src\/settings\.ts:\d+/);
});

test("bundles for workerd and browsers as they are bundled there", () => {
  writeFileSync(join(project, "app.js"), 'export { createVerifier } from "edgeseal"; export { edgeseal } from "edgeseal/hono";');
  const bundle = (condition, ...more) =>
    run(bin("esbuild"), ["app.js", "--bundle", "--format=esm", `--conditions=${condition}`, "--log-level=error", ...more], project);
  const worker = bundle("workerd", "--external:*.wasm", "--external:cloudflare:*");
  assert.match(worker, /from "[^"]*\.wasm"/);
  assert.doesNotMatch(worker, /node:fs|import\.meta/);
  const browser = bundle("browser");
  assert.match(browser, /new URL\("[^"]*\.wasm", import\.meta\.url\)/);
  assert.doesNotMatch(browser, /node:fs|cloudflare:/);
});

test("the types hold", () => {
  const files = ["types.ts", "types-frameworks.ts"];
  for (const file of files) writeFileSync(join(project, file), readFileSync(join(here, "test", file)));
  compile(project, ["types.ts"]);
  // Express' own types need Node's; only what is ours is to be checked to the end.
  compile(project, ["types-frameworks.ts"], "--types", "node", "--skipLibCheck");
});

test("the checks are core's, in core's order", () => {
  const source = readFileSync(join(here, "..", "..", "core", "src", "error.rs"), "utf8");
  const [, body] = /\n {4}Check \{([\s\S]*?)\n {4}\}/.exec(source);
  assert.deepEqual([...body.matchAll(/= "(\w+)"/g)].map(([, name]) => name), [...CHECKS]);
});

test("the codes are core's and the host's", () => {
  const source = readFileSync(join(here, "..", "..", "core", "src", "error.rs"), "utf8");
  const [, body] = /\n {4}ErrorCode \{([\s\S]*?)\n {4}\}/.exec(source);
  const core = [...body.matchAll(/= "(\w+)"/g)].map(([, name]) => name);
  const [, union] = /export type VerifyErrorCode =([\s\S]*?);/.exec(readFileSync(join(here, "src", "names.ts"), "utf8"));
  const ours = [...union.matchAll(/"(\w+)"/g)].map(([, name]) => name);
  assert.deepEqual(ours.sort(), [...core, "token_missing", "authorization_malformed"].sort());
});
