// Real keys, real tokens, a real HTTP server: what the tests share.
import { createServer } from "node:http";

const { subtle } = globalThis.crypto;
const ALGORITHMS = {
  ES256: ecdsa("P-256", "SHA-256"),
  ES384: ecdsa("P-384", "SHA-384"),
  ES512: ecdsa("P-521", "SHA-512"),
  RS256: rsa("RSASSA-PKCS1-v1_5", "SHA-256"),
  RS384: rsa("RSASSA-PKCS1-v1_5", "SHA-384"),
  RS512: rsa("RSASSA-PKCS1-v1_5", "SHA-512"),
  PS256: rsa("RSA-PSS", "SHA-256", 32),
  PS384: rsa("RSA-PSS", "SHA-384", 48),
  PS512: rsa("RSA-PSS", "SHA-512", 64),
  EdDSA: [{ name: "Ed25519" }, { name: "Ed25519" }],
  Ed25519: [{ name: "Ed25519" }, { name: "Ed25519" }],
};

export const base64url = (data) => Buffer.from(data).toString("base64url");

/** A fresh key: its public JWK, and tokens signed with it. `publicExponent` is for RSA. */
export async function makeKey(kid, alg = "ES256", publicExponent = undefined) {
  const [usual, sign] = ALGORITHMS[alg];
  const generate = publicExponent === undefined ? usual : { ...usual, publicExponent: new Uint8Array(publicExponent) };
  const { publicKey, privateKey } = await subtle.generateKey(generate, true, ["sign", "verify"]);
  const { kty, crv, x, y, n, e } = await subtle.exportKey("jwk", publicKey);
  const jwk = JSON.parse(JSON.stringify({ kty, crv, x, y, n, e, kid, alg, use: "sig" }));
  const token = async (claims, header = {}) => {
    const input = `${base64url(JSON.stringify({ alg, kid, ...header }))}.${base64url(JSON.stringify(claims))}`;
    return `${input}.${base64url(await subtle.sign(sign, privateKey, Buffer.from(input)))}`;
  };
  return { jwk, token };
}

/** Seconds since 1970. */
export const seconds = () => Math.floor(Date.now() / 1_000);

/**
 * A server of JWK Sets on a loopback port. `paths` maps a path to a handler `(request, response)` or to a JSON value; `hits`
 * counts the requests by path.
 */
export async function serve(paths) {
  const hits = {};
  const server = createServer((request, response) => {
    hits[request.url] = (hits[request.url] ?? 0) + 1;
    const answer = paths[request.url];
    if (typeof answer === "function") return answer(request, response);
    if (answer === undefined) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    hits,
    paths,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** How to generate a key and how to sign with it. */
function ecdsa(namedCurve, hash) {
  return [{ name: "ECDSA", namedCurve }, { name: "ECDSA", hash }];
}

function rsa(name, hash, saltLength) {
  return [{ name, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash }, { name, saltLength }];
}
