/** An example, or the same example broken in one way. */
export type ExampleKind = "valid" | "signature" | "audience" | "expiry" | "alg-none" | "unknown-key" | "disclosures";

/** What goes into the form: everything is made now, in this page, with a key that is forgotten again. */
export interface Example {
  token: string;
  jwks: string;
  issuer: string;
  audience: string;
  /** Presentations of SD-JWTs are to be taken. */
  presentation: boolean;
}

const ISSUER = "https://login.example.com";
const AUDIENCE = "https://api.example.com";
const ECDSA = { name: "ECDSA", namedCurve: "P-256" } as const;

/** Makes a P-256 key and a token that lives for an hour. */
export async function makeExample(kind: ExampleKind): Promise<Example> {
  if ((crypto.subtle as SubtleCrypto | undefined) === undefined) throw new Error("an example is signed by WebCrypto, which a page has by https or on localhost alone.");
  const { privateKey, publicKey } = await crypto.subtle.generateKey(ECDSA, false, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  const kid = await thumbprint({ crv, kty, x, y });

  const now = Math.floor(Date.now() / 1000);
  const issued = kind === "expiry" ? now - 7200 : now;
  const header = {
    alg: kind === "alg-none" ? "none" : "ES256",
    typ: "at+jwt",
    kid: kind === "unknown-key" ? await thumbprint({ crv, kty, x: y, y: x }) : kid,
  };
  const claims = {
    iss: ISSUER,
    sub: "alice",
    aud: kind === "audience" ? "https://shop.example.com" : AUDIENCE,
    scope: "orders:read orders:write",
    iat: issued,
    exp: issued + 3600,
    jti: crypto.randomUUID(),
  };
  const presentation = kind === "disclosures";
  const disclosures = presentation ? [disclosure("given_name", "Alice"), disclosure("address", { country: "KR", locality: "Seoul" })] : [];
  const withheld = presentation ? disclosure("birthdate", "1990-04-01") : "";
  const digests = await Promise.all([...disclosures, ...(presentation ? [withheld] : [])].map(digest));
  const payload = presentation ? { ...claims, _sd_alg: "sha-256", _sd: digests.sort() } : claims;

  const input = `${encode(header)}.${encode(payload)}`;
  const signature = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, ascii(input)));
  if (kind === "signature") signature[20]! ^= 1;
  return {
    token: `${input}.${kind === "alg-none" ? "" : base64url(signature)}${presentation ? `~${disclosures.join("~")}~` : ""}`,
    jwks: JSON.stringify({ keys: [{ kty, crv, kid, use: "sig", alg: "ES256", x, y }] }, undefined, 2),
    issuer: ISSUER,
    audience: AUDIENCE,
    presentation,
  };
}

// RFC 9901 section 4.2.1: salt, name, value.
function disclosure(name: string, value: unknown): string {
  return encode([base64url(crypto.getRandomValues(new Uint8Array(16))), name, value]);
}

async function digest(disclosed: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", ascii(disclosed))));
}

// RFC 7638: the required members in lexicographic order, without white space.
async function thumbprint(members: Record<string, string | undefined>): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", ascii(JSON.stringify(members)))));
}

function encode(value: unknown): string {
  return base64url(ascii(JSON.stringify(value)));
}

function ascii(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function base64url(octets: Uint8Array): string {
  return btoa(String.fromCharCode(...octets)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
