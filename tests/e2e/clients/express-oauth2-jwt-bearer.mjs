// npm express-oauth2-jwt-bearer: finds the keys by discovery. Reads {issuer, audience, tokens} on standard input.

import { text } from "node:stream/consumers";
import { auth } from "express-oauth2-jwt-bearer";

const { issuer, audience, tokens } = JSON.parse(await text(process.stdin));
for (const [name, token] of Object.entries(tokens)) {
  const middleware = auth({ issuerBaseURL: issuer, audience, tokenSigningAlg: name.split(" ")[0] });
  const headers = { authorization: `Bearer ${token}`, host: "api.example.com" };
  const request = { method: "GET", protocol: "https", host: headers.host, originalUrl: "/", url: "/", headers, query: {}, is: () => false, get: (header) => headers[header.toLowerCase()] };
  const error = await new Promise((next) => middleware(request, {}, next));
  const why = error && [error.message, error.cause?.message, error.cause?.code].filter(Boolean).join(": ");
  console.log(JSON.stringify({ name, ...(error ? { error: why } : { sub: request.auth.payload.sub }) }));
}
