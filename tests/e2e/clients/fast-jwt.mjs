// npm fast-jwt with get-jwks. Reads {issuer, audience, tokens} on standard input.

import { text } from "node:stream/consumers";
import { createVerifier } from "fast-jwt";
import buildGetJwks from "get-jwks";

const { issuer, audience, tokens } = JSON.parse(await text(process.stdin));
const jwks = buildGetJwks({ providerDiscovery: true });
const key = ({ header }) => jwks.getPublicKey({ domain: issuer, kid: header.kid, alg: header.alg });
for (const [name, token] of Object.entries(tokens)) {
  try {
    const verify = createVerifier({ key, algorithms: [name.split(" ")[0]], allowedIss: issuer, allowedAud: audience });
    console.log(JSON.stringify({ name, sub: (await verify(token)).sub }));
  } catch (error) {
    const chain = [];
    for (let one = error; one; one = one.originalError ?? one.cause) chain.push(one.message);
    console.log(JSON.stringify({ name, error: chain.join(": ") }));
  }
}
