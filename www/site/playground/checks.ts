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
  structure: ["Structure", "Three canonical base64url parts, a JSON header, within the size limits"],
  critical: ["Critical extensions", "None that the verifier does not understand"],
  algorithm: ["Algorithm", "One that the policy lists"],
  type: ["Type", "The one that the policy names, or none made for another purpose"],
  key: ["Key", "Exactly one usable key of the set fits"],
  signature: ["Signature", "Made by that key over this very token"],
  claims: ["Claims set", "One JSON object, registered claims of the right types, required claims there"],
  proof: ["Proof of possession", "Not bound to a key that the sender would have to prove"],
  issuer: ["Issuer", "Exactly the policy’s"],
  audience: ["Audience", "One of the policy’s"],
  expiry: ["Expiry", "In the future, leeway included"],
  not_before: ["Not before", "Already valid and not issued in the future"],
  lifetime: ["Lifetime and age", "Within the policy’s limits"],
};

/** The core's checks in its order. Routing between several issuers is left out: the page knows one. */
export const CHECK_TEXTS: readonly CheckText[] = CHECKS.filter((name) => name !== "routing").map((name) => {
  const [title, demand] = TEXTS[name] ?? [name, ""];
  return { name, title, demand };
});

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
      return form.skipIssuer ? "not checked" : text(claims["iss"]);
    case "audience":
      return form.skipAudience ? "not checked" : text(claims[form.audienceClaim.trim() || "aud"]);
    case "expiry":
      return typeof claims["exp"] === "number" ? relative(claims["exp"], now) : "none";
    case "lifetime":
      return form.maxLifetime.trim() === "" && form.maxAge.trim() === "" ? "no limit set" : "";
    default:
      return "";
  }
}

type Json = Record<string, unknown>;

function text(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
