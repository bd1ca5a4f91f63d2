// npm jsonwebtoken with jwks-rsa. Reads {jwks_uri, issuer, audience, tokens} on standard input.

import { text } from "node:stream/consumers";
import jsonwebtoken from "jsonwebtoken";
import jwksRsa from "jwks-rsa";

const { jwks_uri, issuer, audience, tokens } = JSON.parse(await text(process.stdin));
const client = jwksRsa({ jwksUri: jwks_uri });
const key = (header, done) => client.getSigningKey(header.kid).then((found) => done(null, found.getPublicKey()), done);
for (const [name, token] of Object.entries(tokens)) {
  const result = await new Promise((done) => {
    jsonwebtoken.verify(token, key, { issuer, audience, algorithms: [name.split(" ")[0]] }, (error, payload) => done(error ? { error: error.message } : { sub: payload.sub }));
  });
  console.log(JSON.stringify({ name, ...result }));
}
