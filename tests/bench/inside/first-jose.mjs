// The same with jose.
import { createLocalJWKSet, jwtVerify } from "jose";

export default {
  async fetch(request) {
    const { issuer, audience, algorithm, jwks, token } = await request.json();
    const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), { issuer, audience, algorithms: [algorithm] });
    return Response.json(payload);
  },
};
