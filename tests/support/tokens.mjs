// An issuer of the tests: tokens of any shape, bound to a key or a certificate, and DPoP proofs (RFC 9449), made with jose.

import { createHash, generateKeyPairSync, randomUUID } from "node:crypto";
import { SignJWT, calculateJwkThumbprint, exportJWK } from "jose";

export const ISSUER = "https://issuer.example";
export const AUDIENCE = "https://api.example.com";

/** A key of the issuer: its JWK Set, and `issue(claims)`. */
export async function testIssuer({ kid = randomUUID(), issuer = ISSUER } = {}) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" };
  return {
    jwks: { keys: [jwk] },
    settings: { issuer, audience: AUDIENCE, algorithms: ["ES256"] },
    issue: (claims = {}, { expires = "10m" } = {}) => new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid, typ: "at+jwt" })
      .setIssuer(issuer).setAudience(AUDIENCE).setSubject("alice").setJti(randomUUID()).setIssuedAt().setExpirationTime(expires).sign(privateKey),
  };
}

/** A client's key: `jkt` for the token's cnf, and `prove(...)`. */
export async function client(alg = "ES256", publicExponent = 65_537) {
  const { publicKey, privateKey } = alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : alg === "EdDSA" ? generateKeyPairSync("ed25519") : generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent });
  const jwk = await exportJWK(publicKey);
  return {
    jkt: await calculateJwkThumbprint(jwk),
    prove: ({ method = "GET", url, token, jti = randomUUID(), iat = Math.floor(Date.now() / 1000) }) =>
      new SignJWT({ htm: method, htu: url, ath: createHash("sha256").update(token).digest("base64url"), jti, iat }).setProtectedHeader({ alg, typ: "dpop+jwt", jwk }).sign(privateKey),
  };
}
