// Compiled by package.test.mjs against the packed package and the real Hono, Express, zod and valibot, never run.
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { createVerifier, type Claims, type StandardSchema, type Verified, type Verifier } from "edgeseal";
import { edgeseal as expressSeal, type EdgesealOptions as ExpressOptions } from "edgeseal/express";
import { edgeseal as honoSeal, type EdgesealOptions as HonoOptions, type EdgesealVariables } from "edgeseal/hono";
import express from "express";
import { Hono } from "hono";
import * as v from "valibot";
import { z } from "zod";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(): T | undefined => undefined;

const options = { issuer: "https://a.example", audience: "b", algorithms: ["ES256"] } as const;
const verifier = createVerifier(options);
type Mine = Claims & { scope: string };

// Hono: the type comes along the chain, or with the application's variables.
new Hono().use("/api/*", honoSeal(options)).get("/api/me", (c) => {
  const claims = c.get("claims");
  holds<Equal<typeof claims, Claims>>();
  return c.json(claims.sub);
});
const app = new Hono<{ Variables: EdgesealVariables<Mine> }>();
app.use("/api/*", honoSeal(verifier));
app.use("/api/*", honoSeal({ verifier, onRefusal: (error, c) => console.log(error.code, c.req.path) }));
app.get("/api/me", (c) => c.text(c.get("claims").scope + c.get("verified").header.alg));
new Hono().get("/me", honoSeal<Mine>(options), (c) => c.text(c.get("claims").scope));
new Hono().get("/me", honoSeal({ ...options, required: false }), (c) => {
  // @ts-expect-error there may be nobody
  c.get("claims").sub;
  return c.text(c.get("claims")?.sub ?? "nobody");
});
// Options that a function of the application's own takes, and a decision that falls when it runs: there may be nobody.
declare const given: HonoOptions<Mine>;
new Hono().get("/me", honoSeal(given), (c) => {
  // @ts-expect-error there may be nobody
  c.get("claims").scope;
  return c.text(c.get("claims")?.scope ?? "nobody");
});
new Hono().get("/me", honoSeal({ ...options, required: Math.random() < 0.5 }), (c) => {
  // @ts-expect-error there may be nobody
  c.get("verified").claims;
  return c.text(c.get("verified")?.claims.sub ?? "nobody");
});
// @ts-expect-error an option that does not exist
honoSeal({ ...options, leewy: 1 });
// @ts-expect-error algorithms must be named
honoSeal({ issuer: "a", audience: "b" });

// Express: req.auth everywhere, of(req) with the type of the claims.
const server = express();
const auth = expressSeal<Mine>(options);
server.use("/api", auth, expressSeal({ verifier, onRefusal: (error, req) => console.log(error.code, req.headers.authorization) }));
server.get("/api/me", (req, res) => {
  holds<Equal<typeof req.auth, Verified | undefined>>();
  res.json({ sub: req.auth?.claims.sub, scope: auth.of(req).claims.scope });
});
const optional = expressSeal({ ...options, required: false });
server.get("/", optional, (req, res) => {
  // @ts-expect-error there may be nobody
  optional.of(req).claims;
  res.send(optional.of(req)?.claims.sub);
});
declare const taken: ExpressOptions<Mine>;
for (const maybe of [expressSeal(taken), expressSeal<Mine>({ ...options, required: Math.random() < 0.5 })]) {
  server.get("/maybe", maybe, (req, res) => {
    const of = maybe.of(req);
    holds<Equal<typeof of, Verified<Mine> | undefined>>();
    res.send(of?.claims.scope);
  });
}

// A schema names the type of the claims: for a verifier, for one call, and behind a middleware.
type Shaped = { sub: string; scope: string[] };
const zod = z.object({ sub: z.string(), scope: z.string().transform((scope) => scope.split(" ")) });
const valibot = v.object({ sub: v.string(), scope: v.pipe(v.string(), v.transform((scope) => scope.split(" "))) });
const shaped = createVerifier({ ...options, schema: zod });
holds<Equal<typeof shaped, Verifier<Shaped>>>();
createVerifier({ issuers: [options], schema: valibot }) satisfies Verifier<Shaped>;
export async function verified(): Promise<void> {
  const first = await shaped.verify("a.b.c");
  holds<Equal<typeof first, Verified<Shaped>>>();
  const second = await verifier.verify("a.b.c", { schema: valibot });
  holds<Equal<typeof second.claims, Shaped>>();
  const third = await shaped.verify("a.b.c", { schema: z.object({ only: z.number() }) });
  holds<Equal<typeof third.claims, { only: number }>>();
  const kept = { schema: valibot };
  const fourth = await verifier.verify("a.b.c", kept);
  holds<Equal<typeof fourth.claims, Shaped>>();
  // @ts-expect-error claims are an object
  await verifier.verify("a.b.c", { schema: z.string() });
  // @ts-expect-error an option that does not exist
  await verifier.verify("a.b.c", { shema: zod });
}
new Hono().use(honoSeal({ ...options, schema: zod })).get("/", (c) => c.json(c.get("claims").scope.length));
new Hono().use(honoSeal({ verifier: shaped })).get("/", (c) => c.json(c.get("claims").scope.length));
new Hono().use(honoSeal(shaped)).get("/", (c) => c.json(c.get("claims").scope.length));
const typed = expressSeal({ ...options, schema: valibot });
server.get("/typed", typed, (req, res) => void res.json(typed.of(req).claims.scope.length));
// A verifier of other claims is no verifier of these.
// @ts-expect-error
verifier satisfies Verifier<Shaped>;
// What is declared here is the specification's own, as far as it is used.
export const specified = (schema: StandardSchemaV1<unknown, Shaped>): StandardSchema<Shaped> => schema;
