// The package inside somebody's own Worker, bundled by wrangler, in workerd.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { createVerifier } from "edgeseal";

import { makeKey, seconds, serve } from "./support.mjs";
import { startWrangler } from "./wrangler.mjs";

/** A user's project with this Worker. */
function projectOf(t, source) {
  const project = mkdtempSync(join(tmpdir(), "edgeseal-user-worker-"));
  t.after(() => rmSync(project, { recursive: true, force: true }));
  mkdirSync(join(project, "node_modules"));
  symlinkSync(dirname(dirname(fileURLToPath(import.meta.url))), join(project, "node_modules", "edgeseal"));
  writeFileSync(join(project, "wrangler.toml"), 'name = "user"\nmain = "worker.js"\ncompatibility_date = "2026-10-01"\n');
  writeFileSync(join(project, "worker.js"), source);
  return project;
}

test("a user's Worker verifies, refuses, and refreshes keys after its response", async (t) => {
  const key = await makeKey("k1");
  let slow = false;
  const keys = await serve({
    "/jwks": (_, response) => setTimeout(() => response.end(JSON.stringify({ keys: [key.jwk] })), slow ? 1_000 : 0),
  });
  t.after(() => keys.close());
  const worker = await startWrangler(
    t,
    projectOf(t, `import { VerifyError, createVerifier } from "edgeseal";
     const verifier = createVerifier({
       issuer: "${keys.origin}", audience: "a", algorithms: ["ES256"], jwksUri: "${keys.origin}/jwks",
       cache: { freshMin: 10, freshDefault: 10, freshMax: 10 },
     });
     export default {
       async fetch(request) {
         try {
           const { claims } = await verifier.verify(request);
           return Response.json({ sub: claims.sub, stats: verifier.stats().issuers[0] });
         } catch (error) {
           if (error instanceof VerifyError) return error.toResponse();
           throw error;
         }
       },
     };`),
  );
  const token = await key.token({ iss: keys.origin, aud: "a", sub: "alice", exp: seconds() + 600 });
  const ask = async () => (await fetch(worker, { headers: { authorization: `Bearer ${token}` } })).json();

  const first = await ask();
  assert.deepEqual([first.sub, first.stats.fetches], ["alice", 1]);
  const refused = await fetch(worker, { headers: { authorization: `Bearer ${token.slice(0, -4)}AAAA` } });
  assert.equal(refused.status, 401);
  assert.equal((await refused.json()).code, "signature_invalid");
  assert.equal((await fetch(worker)).headers.get("www-authenticate"), 'Bearer realm="edgeseal"');

  // Once 70 to 90 % of their time have passed the keys are refreshed, and the request that noticed does not wait for it.
  slow = true;
  await t.waitFor(async () => {
    const begun = performance.now();
    const { stats } = await ask();
    assert.equal(stats.fetches, 2);
    assert.ok(performance.now() - begun < 900, "the response waited for the refresh");
  });
  await t.waitFor(async () => assert.ok((await ask()).stats.fetchedAt > first.stats.fetchedAt));
  const { stats } = await ask();
  assert.deepEqual([stats.fetches, stats.failures, keys.hits["/jwks"]], [2, 0, 2]);
});

test("keys of an earlier process serve a verifier that was made before the first request, when workerd tells no time", async (t) => {
  const key = await makeKey("k1");
  const keys = await serve({ "/jwks": { keys: [key.jwk] } });
  t.after(() => keys.close());
  const options = { issuer: keys.origin, audience: "a", algorithms: ["ES256"], jwksUri: `${keys.origin}/jwks` };
  const token = await key.token({ iss: keys.origin, aud: "a", sub: "alice", exp: seconds() + 600 });
  const earlier = createVerifier(options);
  await earlier.verify(token);
  const state = earlier.exportState();
  const worker = await startWrangler(
    t,
    projectOf(t, `import { createVerifier } from "edgeseal";
     const verifier = createVerifier({ ...${JSON.stringify(options)}, state: ${JSON.stringify(state)} });
     const atFirst = { state: verifier.exportState(), refused: verifier.stats().stateRefused };
     export default {
       async fetch(request) {
         const { claims } = await verifier.verify(request);
         return Response.json({ sub: claims.sub, atFirst, state: verifier.exportState(), refused: verifier.stats().stateRefused });
       },
     };`),
  );
  const answer = await (await fetch(worker, { headers: { authorization: `Bearer ${token}` } })).json();
  assert.deepEqual(answer, { sub: "alice", atFirst: { state, refused: [] }, state, refused: [] });
  assert.equal(keys.hits["/jwks"], 1, "nothing was fetched again");
});
