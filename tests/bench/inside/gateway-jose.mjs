// The gateway as one would write it with jose.
import { createLocalJWKSet, jwtVerify } from "jose";

let keys;

export default {
  async fetch(request, { ISSUER, AUDIENCE, ALGORITHM, JWKS }) {
    keys ??= createLocalJWKSet(JSON.parse(JWKS));
    const [, token] = /^bearer ([^ ,]+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
    if (!token) return new Response(null, { status: 401, headers: { "www-authenticate": "Bearer" } });
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer: ISSUER, audience: AUDIENCE, algorithms: [ALGORITHM], clockTolerance: 60, requiredClaims: ["exp"] });
      return Response.json({ ok: true, header: protectedHeader, claims: payload }, { headers: { "cache-control": "no-store" } });
    } catch {
      return new Response(null, { status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' } });
    }
  },
};
