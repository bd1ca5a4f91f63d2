import { CHECKS } from "edgeseal";
import type { PolicyForm } from "./policy";
import { relative } from "./time";

/** One check as the page tells of it. */
export interface CheckText {
  name: string;
  title: string;
  /** What must hold. */
  demand: string;
}

const TEXTS: Readonly<Record<string, readonly [title: string, demand: string]>> = {
  structure: ["Structure", "Must be three canonical base64url parts with a JSON header, within the size limits"],
  critical: ["Critical extensions", "There must be none that the verifier does not understand"],
  algorithm: ["Algorithm", "Must be one that the policy lists"],
  type: ["Type", "Must be the one that the policy names, or none made for another purpose"],
  key: ["Key", "Exactly one usable key of the set must fit"],
  signature: ["Signature", "Must be made by that key over this very token"],
  disclosures: ["Disclosures", "Each must belong to the token, where an SD-JWT is presented"],
  claims: ["Claims set", "Must be one JSON object, with registered claims of the right types and all required claims"],
  proof: ["Proof of possession", "Where the token is bound to a key: must be its holder’s, for this verifier, now"],
  issuer: ["Issuer", "Must be exactly the policy’s"],
  audience: ["Audience", "Must be one of the policy’s"],
  expiry: ["Expiry", "Must lie in the future, leeway included"],
  not_before: ["Not before", "Neither it nor the time of issue may lie in the future"],
  lifetime: ["Lifetime and age", "Must be within the policy’s limits"],
};

/** The core's checks in its order. Routing between several issuers is left out: the page knows one. */
export const CHECK_TEXTS: readonly CheckText[] = CHECKS.filter((name) => name !== "routing").map((name) => {
  const [title, demand] = TEXTS[name] ?? [name, ""];
  return { name, title, demand };
});

/** A nonce that is given is compared, whatever the switch says. */
function skipsNonce(form: PolicyForm): boolean {
  return form.skipNonce && form.keyBinding !== "" && form.nonce.trim() === "";
}

/** What the dangerous switches in force let through, as the end of "by a policy that". */
export function dangers(form: PolicyForm): string[] {
  return [
    ...(form.skipIssuer ? ["does not check the issuer"] : []),
    ...(form.skipAudience ? ["does not check the audience"] : []),
    ...(form.allowMissingExp ? ["takes tokens that never expire"] : []),
    ...(form.allowRsaExponent3 ? ["takes RSA keys with exponent 3"] : []),
    ...(skipsNonce(form) ? ["takes proofs for any nonce"] : []),
  ];
}

/** What of a check a dangerous switch has left out, where it has: then it has not passed either. */
export function leftOut(name: string, form: PolicyForm, claims: Json): string | undefined {
  switch (name) {
    case "proof":
      return skipsNonce(form) ? "the nonce is not checked" : undefined;
    case "issuer":
      return form.skipIssuer ? "not checked" : undefined;
    case "audience":
      return form.skipAudience ? "not checked" : undefined;
    case "expiry":
      return form.allowMissingExp && claims["exp"] === undefined ? "none, and none is demanded" : undefined;
    default:
      return undefined;
  }
}

/** What a check that has passed found, in the token's own words. */
export function finding(name: string, form: PolicyForm, header: Json, claims: Json, now: number): string {
  switch (name) {
    case "algorithm":
      return text(header["alg"]);
    case "type":
      return text(header["typ"]);
    case "key":
      return header["kid"] === undefined ? "the only key that fits" : text(header["kid"]);
    case "issuer":
      return text(claims["iss"]);
    case "audience":
      return text(claims[form.audienceClaim.trim() || "aud"]);
    case "expiry":
      return typeof claims["exp"] === "number" ? relative(claims["exp"], now) : "none";
    case "lifetime":
      return form.maxLifetime.trim() === "" && form.maxAge.trim() === "" ? "no limit set" : "";
    default:
      return "";
  }
}

/** Why a key of the set is not used, for the reasons that the core names; another one stands for itself. */
export const KEY_REASONS: Readonly<Record<string, string>> = {
  malformed: "a member is missing or has the wrong type",
  unknown_key_type: "kty is not RSA, EC or OKP",
  symmetric: "a shared secret cannot be a public key",
  private: "it has private members",
  unknown_curve: "crv is not P-256, P-384, P-521 or Ed25519",
  unknown_algorithm: "alg is not an algorithm that Edgeseal verifies",
  algorithm_mismatch: "alg is not an algorithm of this kind of key",
  use: "use is not sig",
  key_ops: "key_ops does not hold verify, repeats a value or has more than 16",
  kid_too_long: "kid is longer than 256 bytes",
  encoding: "a number is missing, or is not canonical base64url of the right length",
  invalid_point: "the point is not on the curve",
  small_order: "the point is of small order",
  modulus_size: "the modulus must have 2048 to 8192 bits",
  weak_modulus: "the modulus is even or carries the ROCA fingerprint",
  exponent: "the exponent must be odd, at least 65537 and at most 33 bits",
};

type Json = Record<string, unknown>;

function text(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
