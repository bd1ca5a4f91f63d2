// Keys and tokens, made anew for each run: 512 distinct good ones of every algorithm, and as many whose signature has the right form
// and length but belongs to another token.
import { generateKeyPairSync, randomUUID } from "node:crypto";

import { SignJWT, exportJWK } from "jose";

export const ISSUER = "https://login.example.com";
export const AUDIENCE = "https://api.example.com";

const KEYS = {
  ES256: ["ec", { namedCurve: "P-256" }],
  ES384: ["ec", { namedCurve: "P-384" }],
  ES512: ["ec", { namedCurve: "P-521" }],
  RS256: ["rsa", { modulusLength: 2048 }],
  RS512: ["rsa", { modulusLength: 2048 }],
  PS256: ["rsa", { modulusLength: 2048 }],
  EdDSA: ["ed25519"],
};

export const ALGORITHMS = Object.keys(KEYS);

/**
 * @returns {Promise<Record<string, {issuer: string, audience: string, jwks: {keys: object[]}, good: string[], wrong: string[]}>>}
 */
export async function fixtures(algorithms, count, typ = "at+jwt") {
  const made = {};
  for (const algorithm of algorithms) made[algorithm] = await fixture(algorithm, count, typ);
  return made;
}

async function fixture(algorithm, count, typ) {
  const { publicKey, privateKey } = generateKeyPairSync(...KEYS[algorithm]);
  const kid = randomUUID();
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: "sig" };
  const good = [];
  for (let index = 0; index < count; index += 1) good.push(await token(algorithm, privateKey, kid, typ));
  const wrong = good.map((text, index) => `${text.slice(0, text.lastIndexOf("."))}${good[(index + 1) % count].slice(good[(index + 1) % count].lastIndexOf("."))}`);
  return { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [jwk] }, good, wrong };
}

/** About as large as an access token is. */
function token(algorithm, key, kid, typ) {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ client_id: "web", scope: "orders:read orders:write profile", roles: ["member", "editor"], tenant: "acme" })
    .setProtectedHeader({ alg: algorithm, kid, typ })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(randomUUID())
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setNotBefore(now)
    .setExpirationTime(now + 4 * 3_600)
    .sign(key);
}
