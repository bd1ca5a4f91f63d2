// The five things done to a good token. Each changes one thing and nothing else.

const decode = (part) => JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export const header = (token) => decode(token.split(".")[0]);
export const claims = (token) => decode(token.split(".")[1]);

/** One bit in the middle of the signature. */
export function flipSignatureBit(token) {
  const [head, body, signature] = token.split(".");
  const bytes = Buffer.from(signature, "base64url");
  bytes[bytes.length >> 1] ^= 0x01;
  return [head, body, bytes.toString("base64url")].join(".");
}

/** `alg` says none; the rest, the signature included, stays. */
export function algorithmNone(token) {
  const [, body, signature] = token.split(".");
  return [encode({ ...header(token), alg: "none" }), body, signature].join(".");
}

/** The classic: `alg` none and no signature at all. */
export function unsigned(token) {
  const [, body] = token.split(".");
  return [encode({ ...header(token), alg: "none" }), body, ""].join(".");
}

/** The same claims signed, validly, by a P-256 key that nobody published: a forger's own, named by its own thumbprint. */
export async function foreignKey(token) {
  const { publicKey, privateKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  const kid = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(JSON.stringify({ crv, kty, x, y })))).toString("base64url");
  const input = `${encode({ ...header(token), alg: "ES256", kid })}.${token.split(".")[1]}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, Buffer.from(input));
  return `${input}.${Buffer.from(signature).toString("base64url")}`;
}
