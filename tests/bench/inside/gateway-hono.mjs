// The gateway as one would write it with hono's jwk middleware.
import { Hono } from "hono";
import { jwk } from "hono/jwk";

let app;

export default {
  fetch(request, env, context) {
    app ??= make(env);
    return app.fetch(request, env, context);
  },
};

function make({ ISSUER, AUDIENCE, ALGORITHM, JWKS }) {
  const made = new Hono();
  made.use("*", jwk({ keys: JSON.parse(JWKS).keys, alg: [ALGORITHM], verification: { iss: ISSUER, aud: AUDIENCE } }));
  made.get("*", (c) => c.json({ ok: true, claims: c.get("jwtPayload") }, 200, { "cache-control": "no-store" }));
  return made;
}
