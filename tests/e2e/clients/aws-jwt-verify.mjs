// npm aws-jwt-verify. Reads {jwks_uri, issuer, audience, tokens} on standard input.

import { text } from "node:stream/consumers";
import { JwtVerifier } from "aws-jwt-verify";

const { jwks_uri, issuer, audience, tokens } = JSON.parse(await text(process.stdin));
const verifier = JwtVerifier.create({ issuer, audience, jwksUri: jwks_uri });
for (const [name, token] of Object.entries(tokens)) {
  try {
    console.log(JSON.stringify({ name, sub: (await verifier.verify(token)).sub }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: [error.message, error.cause?.message].filter(Boolean).join(": ") }));
  }
}
