// npm jose: createRemoteJWKSet over HTTPS. Reads {jwks_uri, issuer, audience, tokens} on standard input.

import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { jwks_uri, issuer, audience, tokens } = JSON.parse(await text(process.stdin));
const keys = createRemoteJWKSet(new URL(jwks_uri));
for (const [name, token] of Object.entries(tokens)) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms: [name.split(" ")[0]] });
    console.log(JSON.stringify({ name, sub: payload.sub }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: error.code ?? error.cause?.code ?? error.message }));
  }
}
