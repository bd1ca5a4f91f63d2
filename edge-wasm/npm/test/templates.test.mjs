// The template projects, copied as a user copies them, with the packed package: installed as their README says, type-checked, bundled
// by wrangler, run in workerd.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { compile, here, installPacked, run } from "./packed.mjs";
import { makeKey, seconds, serve } from "./support.mjs";
import { startWrangler, wrangler } from "./wrangler.mjs";

const templates = join(here, "..", "templates");

/** A template's copy in a folder of its own, after the README's `npm install`. */
function installed(t, name) {
  const packed = installPacked();
  t.after(packed.remove);
  const folder = mkdtempSync(join(tmpdir(), "edgeseal-template-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const project = join(folder, "my-api");
  cpSync(join(templates, name), project, { recursive: true });
  const [, tarball] = /^npm install (\S+)/m.exec(readFileSync(join(templates, "README.md"), "utf8"));
  cpSync(packed.tarball, join(folder, "edgeseal", tarball.split("/").at(-1)));
  assert.equal(packed.tarball.split("/").at(-1), tarball.split("/").at(-1), "what npm pack makes");
  // Without the registry: hono is ours, packed again, and wrangler is the one that this test starts.
  const { dependencies } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
  const others = Object.keys(dependencies).filter((dependency) => dependency !== "edgeseal");
  for (const other of others) run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder, join(here, "node_modules", other)], folder);
  run("npm", ["pkg", "delete", "devDependencies"], project);
  const tarballs = readdirSync(folder).filter((file) => file.endsWith(".tgz")).map((file) => `../${file}`);
  assert.equal(tarballs.length, others.length);
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball, ...tarballs], project);
  return project;
}

for (const [name, path] of [["worker", "/me"], ["hono", "/api/me"]]) {
  test(`the template ${name} builds and runs`, async (t) => {
    const key = await makeKey("k1");
    const issuer = await serve({ "/jwks": (_, response) => response.end(JSON.stringify({ keys: [key.jwk] })) });
    t.after(() => issuer.close());
    issuer.paths["/.well-known/openid-configuration"] = { issuer: issuer.origin, jwks_uri: `${issuer.origin}/jwks` };
    const project = installed(t, name);
    compile(project, readdirSync(join(project, "src")).map((file) => `src/${file}`));
    // But for the account that it would go to.
    assert.match(run(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", join(project, "bundle")], project), /gzip: [\d.]+ KiB/);

    const worker = await startWrangler(t, project, ["--var", `ISSUER:${issuer.origin}`, "--var", "AUDIENCE:a"]);
    const token = await key.token({ iss: issuer.origin, aud: "a", sub: "alice", exp: seconds() + 600 });
    const ask = (token) => fetch(worker + path, { headers: token ? { authorization: `Bearer ${token}` } : {} });
    assert.deepEqual(await (await ask(token)).json(), { hello: "alice" });
    const refused = await ask(`${token.slice(0, -4)}AAAA`);
    assert.deepEqual([refused.status, (await refused.json()).code], [401, "signature_invalid"]);
    assert.equal((await ask()).headers.get("www-authenticate"), 'Bearer realm="edgeseal"');
    assert.equal(await (await fetch(`${worker}/health`)).text(), "ok");
    await t.waitFor(() => assert.match(t.log(), /signature does not verify/));
  });
}
