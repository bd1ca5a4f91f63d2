// Compiled by package.test.mjs against the packed package and the real Hono and Express, never run.
import { createVerifier, type Claims, type Verified } from "edgeseal";
import { edgeseal as expressSeal } from "edgeseal/express";
import { edgeseal as honoSeal, type EdgesealVariables } from "edgeseal/hono";
import express from "express";
import { Hono } from "hono";

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
