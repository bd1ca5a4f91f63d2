import { ALGORITHMS, type PolicyForm } from "./policy";

const TEXTS = ["issuer", "audience", "typ", "leeway", "now", "maxLifetime", "maxAge", "audienceClaim", "requiredClaims"] as const;
const SWITCHES = ["skipIssuer", "skipAudience", "allowMissingExp", "allowRsaExponent3", "skipNonce"] as const;
const KEY_BINDINGS = ["where_bound", "required"] as const;
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/** Why a JWK Set is not put into a link. */
export type Withheld = "private" | "unreadable" | undefined;

/**
 * Policy and JWK Set as the fragment of a link, which no server ever sees. There is no parameter for the token. A set that
 * holds private or secret key material, or that is not a JWK Set at all (it might be a token), stays out.
 */
export function toFragment(form: PolicyForm): { fragment: string; withheld: Withheld } {
  const parameters = new URLSearchParams();
  for (const name of TEXTS) {
    const value = form[name].trim();
    if (value !== "" && !looksLikeToken(value)) parameters.set(name, value);
  }
  parameters.set("algorithms", form.algorithms.join(","));
  if (form.keyBinding !== "") parameters.set("keyBinding", form.keyBinding);
  for (const name of SWITCHES) if (form[name]) parameters.set(name, "true");

  const withheld = form.jwks.trim() === "" ? undefined : reasonToWithhold(form.jwks);
  if (form.jwks.trim() !== "" && withheld === undefined) parameters.set("jwks", compact(form.jwks));
  return { fragment: parameters.toString(), withheld };
}

/** The form that a fragment describes, or `undefined` if it describes none. */
export function fromFragment(fragment: string): PolicyForm | undefined {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!parameters.has("algorithms") && !parameters.has("jwks") && !parameters.has("issuer")) return undefined;
  const text = (name: string): string => parameters.get(name) ?? "";
  return {
    jwks: spread(text("jwks")),
    issuer: text("issuer"),
    audience: text("audience"),
    algorithms: ALGORITHMS.filter((name) => text("algorithms").split(",").includes(name)),
    typ: text("typ"),
    leeway: text("leeway"),
    now: text("now"),
    maxLifetime: text("maxLifetime"),
    maxAge: text("maxAge"),
    audienceClaim: text("audienceClaim"),
    requiredClaims: text("requiredClaims"),
    keyBinding: KEY_BINDINGS.find((name) => name === text("keyBinding")) ?? "",
    // A nonce is good for one presentation.
    nonce: "",
    skipIssuer: text("skipIssuer") === "true",
    skipAudience: text("skipAudience") === "true",
    allowMissingExp: text("allowMissingExp") === "true",
    allowRsaExponent3: text("allowRsaExponent3") === "true",
    skipNonce: text("skipNonce") === "true",
  };
}

function reasonToWithhold(text: string): Withheld {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    return "unreadable";
  }
  const keys = typeof set === "object" && set !== null ? (set as { keys?: unknown }).keys : undefined;
  if (!Array.isArray(keys)) return "unreadable";
  return memberNames(text).some((name) => PRIVATE_MEMBERS.includes(name)) ? "private" : undefined;
}

/** Every member's name in a JSON text. Of duplicates `JSON.parse` keeps the last, and the link holds them all. */
function memberNames(text: string): string[] {
  const strings = text.matchAll(/("(?:\\.|[^"\\])*")(\s*:)?/g);
  return [...strings].flatMap(([, string = "", colon]) => (colon === undefined ? [] : [String(JSON.parse(string))]));
}

function looksLikeToken(text: string): boolean {
  return /eyJ[\w-]+\.[\w-]*\.?/.test(text);
}

// White space around the structure goes, nothing else: what the core judges (duplicate members, numbers) must survive.
function compact(text: string): string {
  return text.replace(/("(?:\\.|[^"\\])*")|\s+/g, (_, string: string | undefined) => string ?? "");
}

function spread(text: string): string {
  try {
    const pretty = JSON.stringify(JSON.parse(text), undefined, 2);
    return compact(pretty) === text ? pretty : text;
  } catch {
    return text;
  }
}
