// Tokens signed by node:crypto, a signer that shares no code with the page.
import { constants, generateKeyPairSync, sign } from "node:crypto";

const SIGNERS = {
  ES256: { type: "ec", options: { namedCurve: "P-256" }, hash: "sha256", extra: { dsaEncoding: "ieee-p1363" } },
  ES384: { type: "ec", options: { namedCurve: "P-384" }, hash: "sha384", extra: { dsaEncoding: "ieee-p1363" } },
  ES512: { type: "ec", options: { namedCurve: "P-521" }, hash: "sha512", extra: { dsaEncoding: "ieee-p1363" } },
  RS256: { type: "rsa", options: { modulusLength: 2048 }, hash: "sha256", extra: {} },
  PS256: {
    type: "rsa",
    options: { modulusLength: 2048 },
    hash: "sha256",
    extra: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  },
  EdDSA: { type: "ed25519", options: {}, hash: null, extra: {} },
  Ed25519: { type: "ed25519", options: {}, hash: null, extra: {} },
};

export const ALGORITHMS = Object.keys(SIGNERS);

/** A fresh key of an algorithm: its public JWK and what signs with it. */
export function makeKey(algorithm, kid = `${algorithm}-key`, overrides = {}) {
  const { type, options, hash, extra } = SIGNERS[algorithm];
  const { privateKey, publicKey } = generateKeyPairSync(type, { ...options, ...overrides });
  return {
    jwk: { ...publicKey.export({ format: "jwk" }), kid, alg: algorithm, use: "sig" },
    privateJwk: { ...privateKey.export({ format: "jwk" }), kid },
    sign(claims, header = {}) {
      const input = `${encode({ alg: algorithm, kid, ...header })}.${encode(claims)}`;
      return `${input}.${sign(hash, Buffer.from(input), { key: privateKey, ...extra }).toString("base64url")}`;
    },
  };
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
