// The template projects, copied as a user copies them, with the packed package: type-checked, bundled by wrangler, run in workerd.
import assert from "node:assert/strict";
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { compile, here, installPacked } from "./packed.mjs";
import { makeKey, seconds, serve } from "./support.mjs";
import { startWrangler } from "./wrangler.mjs";

const templates = join(here, "..", "templates");

for (const [name, path] of [["worker", "/me"], ["hono", "/api/me"]]) {
  test(`the template ${name} builds and runs`, async (t) => {
    const key = await makeKey("k1");
    const issuer = await serve({ "/jwks": (_, response) => response.end(JSON.stringify({ keys: [key.jwk] })) });
    t.after(() => issuer.close());
    issuer.paths["/.well-known/openid-configuration"] = { issuer: issuer.origin, jwks_uri: `${issuer.origin}/jwks` };
    const user = installPacked({ beside: ["hono"] });
    t.after(user.remove);
    cpSync(join(templates, name), user.project, { recursive: true });
    compile(user.project, readdirSync(join(user.project, "src")).map((file) => `src/${file}`));

    const worker = await startWrangler(t, user.project, ["--var", `ISSUER:${issuer.origin}`, "--var", "AUDIENCE:a"]);
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
