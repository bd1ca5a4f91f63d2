// Who is measured on the JavaScript hosts. Each does the same work, the way its own documentation shows it: the key is found by the
// token's kid, the signature verified, issuer, audience, algorithm and times checked, the claims returned. `webcrypto` alone does less:
// it finds no key, checks nothing and shows what the host's own arithmetic costs.
import { JwtVerifier } from "aws-jwt-verify";
import { createVerifier } from "edgeseal";
import { createLocalJWKSet, jwtVerify } from "jose";

/** Octets: a dozen tokens or two of those that come round again. */
const SMALL_CACHE = 32 * 1024;

/**
 * @typedef {{algorithm: string, issuer: string, audience: string, jwks: {keys: object[]}, fresh: boolean}} Task fresh: no token may be
 * remembered, since the distinct tokens come round again
 * @typedef {{verify: (token: string) => Promise<unknown>, claims: (result: any) => object}} Contestant
 * @type {Record<string, {can?: (algorithm: string) => boolean, open: (task: Task) => Promise<Contestant>}>}
 */
export const contestants = {
  edgeseal: {
    async open({ algorithm, issuer, audience, jwks, fresh }) {
      // Where tokens must be fresh, the cache of verified tokens is on, too small for them all: each pays for a miss and an entry.
      const verifier = createVerifier({ issuer, audience, algorithms: [algorithm], jwks, ...(fresh && { tokenCache: SMALL_CACHE }) });
      return { verify: (token) => verifier.verify(token), claims: ({ claims }) => claims, stats: () => verifier.stats() };
    },
  },
  jose: {
    async open({ algorithm, issuer, audience, jwks }) {
      const keys = createLocalJWKSet(jwks);
      const options = { issuer, audience, algorithms: [algorithm] };
      return { verify: (token) => jwtVerify(token, keys, options), claims: ({ payload }) => payload };
    },
  },
  "aws-jwt-verify": {
    can: (algorithm) => !algorithm.startsWith("PS"),
    async open({ issuer, audience, jwks }) {
      const verifier = JwtVerifier.create({ issuer, audience, jwksUri: `${issuer}/jwks.json` });
      verifier.cacheJwks(jwks);
      return { verify: (token) => verifier.verify(token), claims: (payload) => payload };
    },
  },
  webcrypto: {
    async open({ algorithm, jwks }) {
      const [imported, used] = parameters(algorithm);
      const key = await crypto.subtle.importKey("jwk", jwks.keys[0], imported, false, ["verify"]);
      const text = new TextEncoder();
      const plain = new TextDecoder();
      const verify = async (token) => {
        const end = token.lastIndexOf(".");
        const input = token.slice(0, end);
        if (!(await crypto.subtle.verify(used, key, octets(token.slice(end + 1)), text.encode(input)))) throw new Error("invalid");
        return JSON.parse(plain.decode(octets(input.slice(input.indexOf(".") + 1))));
      };
      return { verify, claims: (payload) => payload };
    },
  },
};

function parameters(algorithm) {
  const hash = `SHA-${algorithm.slice(2)}`;
  const curve = { ES256: "P-256", ES384: "P-384", ES512: "P-521" }[algorithm];
  if (curve) return [{ name: "ECDSA", namedCurve: curve }, { name: "ECDSA", hash }];
  if (algorithm.startsWith("RS")) return [{ name: "RSASSA-PKCS1-v1_5", hash }, { name: "RSASSA-PKCS1-v1_5" }];
  if (algorithm.startsWith("PS")) return [{ name: "RSA-PSS", hash }, { name: "RSA-PSS", saltLength: Number(algorithm.slice(2)) / 8 }];
  return [{ name: "Ed25519" }, { name: "Ed25519" }];
}

/** Base64url as jose decodes it: by `Uint8Array.fromBase64` where the host has it. */
function octets(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}
