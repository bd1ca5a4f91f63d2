// The package as users get it: packed, installed beside nothing, imported, compiled against.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { CHECKS } from "edgeseal";

import { makeKey, seconds } from "./support.mjs";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
const esbuild = join(here, "node_modules", ".bin", "esbuild");
const project = mkdtempSync(join(tmpdir(), "edgeseal-user-"));
let packed;

before(() => {
  const [{ filename, files }] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", project], here));
  packed = files.map((file) => file.path).sort();
  const installed = join(project, "node_modules", "edgeseal");
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", join(project, filename), "--strip-components=1", "-C", installed]);
  writeFileSync(join(project, "package.json"), '{"type":"module","private":true}');
});

after(() => rmSync(project, { recursive: true, force: true }));

test("holds what users need and nothing else", () => {
  const expected = /^(dist\/[a-z]+\.(js|d\.ts)|wasm\/edgeseal(\.js|\.d\.ts|_bg\.wasm)|README\.md|LICENSE|package\.json)$/;
  assert.deepEqual(packed.filter((path) => !expected.test(path)), []);
  for (const path of ["LICENSE", "README.md", "dist/browser.js", "dist/index.d.ts", "dist/node.js", "dist/workerd.js"]) {
    assert.ok(packed.includes(path), path);
  }
  const { exports, dependencies, scripts } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  for (const path of Object.values(exports["."])) assert.ok(existsSync(join(project, "node_modules", "edgeseal", path)), path);
  assert.equal(dependencies, undefined);
  assert.deepEqual(Object.keys(scripts).filter((name) => /install|prepare/.test(name)), []);
});

test("every entry exports the same names as the types", async () => {
  const types = readFileSync(join(here, "dist", "index.d.ts"), "utf8");
  const declared = [...types.matchAll(/export declare function (\w+)/g)].map(([, name]) => name);
  const reexported = [...types.matchAll(/export \{ (.*?) \}/g)].flatMap(([, names]) => names.split(", "));
  const expected = [...declared, ...reexported.filter((name) => !name.startsWith("type "))].sort();
  assert.deepEqual(Object.keys(await import("edgeseal")).sort(), expected);
  for (const entry of ["browser", "workerd"]) {
    const source = readFileSync(join(here, "dist", `${entry}.js`), "utf8");
    const values = [...source.matchAll(/export const \{ (.*?) \}|export \{ (.*?) \}/g)].flatMap(([, a, b]) => (a ?? b).split(", "));
    assert.deepEqual(values.sort(), expected, entry);
  }
});

test("bundles for workerd and browsers as they are bundled there", () => {
  writeFileSync(join(project, "app.js"), 'export { createVerifier } from "edgeseal";');
  const bundle = (condition, ...more) =>
    run(esbuild, ["app.js", "--bundle", "--format=esm", `--conditions=${condition}`, "--log-level=error", ...more], project);
  const worker = bundle("workerd", "--external:*.wasm", "--external:cloudflare:*");
  assert.match(worker, /from "[^"]*edgeseal_bg\.wasm"/);
  assert.doesNotMatch(worker, /node:fs/);
  const browser = bundle("browser");
  assert.match(browser, /new URL\("[^"]*edgeseal_bg\.wasm", import\.meta\.url\)/);
  assert.doesNotMatch(browser, /node:fs|cloudflare:/);
});

test("the types hold", () => {
  writeFileSync(join(project, "types.ts"), readFileSync(join(here, "test", "types.ts")));
  compile("types.ts");
});

test("the checks are core's, in core's order", () => {
  const source = readFileSync(join(here, "..", "..", "core", "src", "error.rs"), "utf8");
  const [, body] = /\n {4}Check \{([\s\S]*?)\n {4}\}/.exec(source);
  assert.deepEqual([...body.matchAll(/= "(\w+)"/g)].map(([, name]) => name), [...CHECKS]);
});

test("the README's samples compile, and run", async () => {
  const readme = readFileSync(join(here, "README.md"), "utf8");
  const samples = [...readme.matchAll(/```(ts|js)\n([\s\S]*?)```/g)].map(([, , code]) => code);
  assert.ok(samples.length >= 4);
  const key = await makeKey("k1");
  const claims = { iss: "https://login.example.com", aud: "https://api.example.com", sub: "alice", exp: seconds() + 600, scope: "read" };
  const token = await key.token(claims);
  // What the samples talk about: a token, a request with it, and an issuer that publishes its keys.
  globalThis.token = token;
  globalThis.request = new Request("https://api.example.com/", { headers: { authorization: `Bearer ${token}` } });
  globalThis.jwks = { keys: [key.jwk] };
  const fetch = globalThis.fetch;
  const documents = {
    "https://login.example.com/.well-known/openid-configuration": { issuer: claims.iss, jwks_uri: "https://login.example.com/jwks" },
    "https://login.example.com/jwks": globalThis.jwks,
  };
  globalThis.fetch = async (url) => new Response(JSON.stringify(documents[url]), { status: url in documents ? 200 : 404 });
  writeFileSync(join(project, "globals.d.ts"), "declare const token: string;\ndeclare const request: Request;\ndeclare const jwks: { keys: object[] };\n");
  try {
    for (const [index, code] of samples.entries()) {
      writeFileSync(join(project, `sample${index}.ts`), code);
      compile(`sample${index}.ts`, "globals.d.ts", "--noEmit", "false");
      const module = await import(pathToFileURL(join(project, `sample${index}.js`)));
      // A sample that is a Worker is asked, too.
      if (module.default?.fetch) assert.equal((await module.default.fetch(globalThis.request)).status, 200);
    }
  } finally {
    globalThis.fetch = fetch;
  }
});

function compile(...files) {
  const flags = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "--noEmit"];
  run(process.execPath, [tsc, "--ignoreConfig", ...flags, ...files], project);
}

function run(command, args, cwd = project) {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
  } catch (error) {
    throw new Error(`${command} ${args.join(" ")}\n${error.stdout}${error.stderr}`);
  }
}
