import { ALGORITHMS, plainByDefault, type PolicyForm } from "./policy";

const TEXTS = ["issuer", "audience", "typ", "leeway", "now", "maxLifetime", "maxAge", "audienceClaim", "requiredClaims"] as const;
const SWITCHES = ["skipIssuer", "skipAudience", "allowMissingExp", "allowRsaExponent3", "skipNonce"] as const;
const KEY_BINDINGS = ["where_bound", "required"] as const;
/** Members whose values are a key's numbers and certificates: they may look like anything. */
const KEY_MEMBERS = ["n", "e", "x", "y", "pub", "x5c", "x5t", "x5t#S256"];
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/** Characters: of a shorter part of what is in the token's field, nobody could say that it is of a token. */
const SHORTEST_PART = 12;

/** Why a JWK Set is not put into a link. */
export type Withheld = "private" | "unreadable" | "token";

/**
 * Policy and JWK Set as the fragment of a link, which no server ever sees. There is no parameter for the token. A set that
 * holds private or secret key material, or that is not a JWK Set at all (it might be a token), stays out, and so does a
 * field or a set with a token or a part of `token` in it. `left` names those fields.
 */
export function toFragment(form: PolicyForm, token: string): { fragment: string; withheld: Withheld | undefined; left: string[] } {
  const parts = token.split(/[.~\s]/).filter((part) => part.length >= SHORTEST_PART);
  const isOfToken = (text: string): boolean => parts.some((part) => text.includes(part));
  const parameters = new URLSearchParams();
  const left: string[] = [];
  for (const name of TEXTS) {
    const value = form[name].trim();
    if (value === "") continue;
    if (holdsToken(value) || isOfToken(value)) left.push(name);
    else parameters.set(name, value);
  }
  parameters.set("algorithms", form.algorithms.join(","));
  if (form.keyBinding !== "") {
    parameters.set("keyBinding", form.keyBinding);
    parameters.set("allowPlain", String(form.allowPlain));
  }
  for (const name of SWITCHES) if (form[name]) parameters.set(name, "true");

  const withheld = form.jwks.trim() === "" ? undefined : reasonToWithhold(form.jwks, isOfToken);
  if (form.jwks.trim() !== "" && withheld === undefined) parameters.set("jwks", compact(form.jwks));
  return { fragment: parameters.toString(), withheld, left };
}

/** The form that a fragment describes, or `undefined` if it describes none. */
export function fromFragment(fragment: string): PolicyForm | undefined {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!parameters.has("algorithms") && !parameters.has("jwks") && !parameters.has("issuer")) return undefined;
  const text = (name: string): string => parameters.get(name) ?? "";
  const keyBinding = KEY_BINDINGS.find((name) => name === text("keyBinding")) ?? "";
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
    keyBinding,
    allowPlain: parameters.has("allowPlain") ? text("allowPlain") === "true" : plainByDefault(keyBinding),
    // A nonce is good for one presentation.
    nonce: "",
    skipIssuer: text("skipIssuer") === "true",
    skipAudience: text("skipAudience") === "true",
    allowMissingExp: text("allowMissingExp") === "true",
    allowRsaExponent3: text("allowRsaExponent3") === "true",
    skipNonce: text("skipNonce") === "true",
  };
}

function reasonToWithhold(text: string, isOfToken: (text: string) => boolean): Withheld | undefined {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    return "unreadable";
  }
  const keys = typeof set === "object" && set !== null ? (set as { keys?: unknown }).keys : undefined;
  if (!Array.isArray(keys)) return "unreadable";
  const strings = stringsOf(text);
  if (strings.some(({ name, value }) => value === undefined && PRIVATE_MEMBERS.includes(name))) return "private";
  const isToken = strings.some(({ name, value }) => isOfToken(value ?? name) || (!KEY_MEMBERS.includes(name) && holdsToken(value ?? name)));
  return isToken ? "token" : undefined;
}

/**
 * Every string in a JSON text: members' names, and values with the name that they stand under. Of duplicates `JSON.parse`
 * keeps the last, and the link holds them all.
 */
function stringsOf(text: string): { name: string; value?: string }[] {
  let name = "";
  return [...text.matchAll(/("(?:\\.|[^"\\])*")(\s*:)?|\}/g)].flatMap(([, string, colon]) => {
    // What stands behind an object stands under none of its members.
    if (string === undefined) {
      name = "";
      return [];
    }
    const value = String(JSON.parse(string));
    if (colon === undefined) return [{ name, value }];
    name = value;
    return [{ name }];
  });
}

/** Whether base64url of a JSON object begins in a text, as each part of a token does but its signature. */
function holdsToken(text: string): boolean {
  const starts = text.match(/(?<![\w-])[\w-]{12}/g) ?? [];
  return starts.some((start) => /^\s*\{[\s"]/.test(atob(start.replace(/-/g, "+").replace(/_/g, "/"))));
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
