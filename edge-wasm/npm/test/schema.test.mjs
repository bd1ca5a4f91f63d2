// The application's own schema: real zod and valibot, and what no library does.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ConfigurationError, VerifyError, createVerifier } from "edgeseal";
import { edgeseal } from "edgeseal/hono";
import { Hono } from "hono";
import * as v from "valibot";
import { z } from "zod";

import { makeKey, seconds } from "./support.mjs";

const issuer = "https://login.example.com";
const audience = "https://api.example.com";
const key = await makeKey("k1");
const options = { issuer, audience, algorithms: ["ES256"], jwks: { keys: [key.jwk] } };
const token = (more = {}) => key.token({ iss: issuer, aud: audience, sub: "alice", exp: seconds() + 600, ...more });
const schemas = {
  zod: z.object({ sub: z.string(), scope: z.string().transform((scope) => scope.split(" ")), roles: z.array(z.enum(["reader", "writer"])).default([]) }),
  valibot: v.object({
    sub: v.string(),
    scope: v.pipe(v.string(), v.transform((scope) => scope.split(" "))),
    roles: v.optional(v.array(v.picklist(["reader", "writer"])), []),
  }),
};
/** A schema of our own. */
const schema = (validate) => ({ "~standard": { version: 1, vendor: "test", validate } });
const refused = (promise, pattern) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof VerifyError, error);
    assert.deepEqual([error.code, error.check], ["claim_invalid", "claims"]);
    assert.match(error.message, pattern);
    return true;
  });

for (const [name, schema] of Object.entries(schemas)) {
  test(`${name}: claims come out as the schema gives them, or are refused with the path`, async () => {
    const verifier = createVerifier({ ...options, schema });
    const { claims, header } = await verifier.verify(await token({ scope: "a b" }));
    assert.deepEqual([claims, header.alg], [{ sub: "alice", scope: ["a", "b"], roles: [] }, "ES256"]);
    await refused(verifier.verify(await token()), /scope: /);
    await refused(verifier.verify(await token({ scope: "a", roles: ["reader", "root"] })), /roles\[1\]: /);
    // The token's own refusals come first.
    await assert.rejects(verifier.verify(await token({ exp: 1_000 })), { code: "token_expired" });
    await assert.rejects(verifier.verify(await token({ aud: "other" })), { code: "audience_mismatch" });
  });

  test(`${name}: a schema for one call, in place of the verifier's`, async () => {
    const verifier = createVerifier({ ...options, schema: schemas.zod });
    const { claims } = await createVerifier(options).verify(await token({ scope: "a" }), { schema });
    assert.deepEqual(claims.scope, ["a"]);
    assert.deepEqual((await verifier.verify(await token(), { schema: z.object({ sub: z.string() }) })).claims, { sub: "alice" });
  });
}

test("a refusal by the schema is core's own answer", async () => {
  const ours = await createVerifier({ ...options, schema: schemas.zod }).verify(await token()).catch((error) => error);
  const core = await createVerifier(options).verify(await token({ exp: "never" })).catch((error) => error);
  assert.equal(core.code, "claim_invalid");
  const [mine, theirs] = [ours.toResponse(), core.toResponse()];
  assert.equal(mine.status, theirs.status);
  assert.deepEqual([...mine.headers], [...theirs.headers]);
  assert.equal(await mine.text(), await theirs.text());
});

test("asynchronous schemas are awaited, for a token that was seen before as well", async () => {
  let calls = 0;
  const verifier = createVerifier({
    ...options,
    schema: schema(async (claims) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      calls += 1;
      return calls === 3 ? { issues: [{ message: "revoked" }] } : { value: { ...claims, calls } };
    }),
  });
  const same = await token();
  assert.equal((await verifier.verify(same)).claims.calls, 1);
  assert.equal((await verifier.verify(same)).claims.calls, 2);
  await refused(verifier.verify(same), /the schema says revoked/);
});

test("a schema that breaks is no refusal, and accepts nothing", async () => {
  const verify = async (validate) => createVerifier({ ...options, schema: schema(validate) }).verify(await token());
  await assert.rejects(verify(() => { throw new RangeError("broken"); }), RangeError);
  await assert.rejects(verify(() => Promise.reject(new RangeError("broken"))), RangeError);
  for (const nothing of [undefined, null, true]) await assert.rejects(verify(() => nothing), /^TypeError: schema: validate must give a result/);
  await assert.rejects(verify(() => ({})), TypeError);
  await assert.rejects(verify(() => ({ value: "alice" })), TypeError);
});

test("what is no schema is said at once", async () => {
  for (const wrong of [{}, 1, "zod", () => true, { "~standard": {} }, null]) {
    assert.throws(() => createVerifier({ ...options, schema: wrong }), (error) => error instanceof ConfigurationError && error.option === "schema");
    await assert.rejects(createVerifier(options).verify(await token(), { schema: wrong }), ConfigurationError);
  }
  await assert.rejects(createVerifier(options).verify(await token(), { shema: schemas.zod }), (error) => error instanceof ConfigurationError && error.option === "shema");
});

test("a schema may be a function, as arktype's are", async () => {
  const callable = Object.assign(() => {}, schema((claims) => ({ value: { only: claims.sub } })));
  assert.deepEqual((await createVerifier({ ...options, schema: callable }).verify(await token())).claims, { only: "alice" });
});

test("messages of schemas are cut, and write one line", async () => {
  const issue = (index) => ({ message: `${index} \n\u202e${"x".repeat(500)}`, path: ["a b", { key: "c" }, index] });
  const error = await createVerifier({ ...options, schema: schema(() => ({ issues: [0, 1, 2, 3, 4].map(issue) })) })
    .verify(await token())
    .catch((error) => error);
  assert.match(error.message, /\["a b"\]\.c\[0\]: 0 +x/);
  assert.match(error.message, /and 2 more$/);
  assert.ok(error.message.length < 800 && !/[\n\u202e]/.test(error.message));
});

test("in a middleware", async () => {
  const app = new Hono();
  app.use(edgeseal({ ...options, schema: schemas.valibot }));
  app.get("/", (c) => c.json(c.get("claims").scope));
  const ask = async (more) => app.request("/", { headers: { authorization: `Bearer ${await token(more)}` } });
  assert.deepEqual(await (await ask({ scope: "a b" })).json(), ["a", "b"]);
  const answer = await ask();
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "claim_invalid"]);
});
