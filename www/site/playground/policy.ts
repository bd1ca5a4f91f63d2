import type { Algorithm, IssuerOptions } from "edgeseal";

/** The algorithms of the core's table, in its order. */
export const ALGORITHMS = [
  "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519",
] as const satisfies readonly Algorithm[];

/** What the page asks for besides the token, as the user typed it. */
export interface PolicyForm {
  jwks: string;
  issuer: string;
  audience: string;
  algorithms: Algorithm[];
  typ: string;
  leeway: string;
  now: string;
  maxLifetime: string;
  maxAge: string;
  audienceClaim: string;
  requiredClaims: string;
  /** Presentations of SD-JWTs: refused where empty. */
  keyBinding: "" | "where_bound" | "required";
  /** Where presentations are taken: tokens that are none as well. */
  allowPlain: boolean;
  nonce: string;
  skipIssuer: boolean;
  skipAudience: boolean;
  allowMissingExp: boolean;
  allowRsaExponent3: boolean;
  skipNonce: boolean;
}

/** Text in a field that cannot be what the field asks for: the policy is at fault, never the token. */
export class FieldProblem extends Error {}

/** The settings that `createVerifier` takes. Ranges and impossible combinations are for the core to refuse. */
export function issuerOptions(form: PolicyForm): IssuerOptions {
  const dangerous = {
    ...(form.skipIssuer && { skipIssuer: true }),
    ...(form.skipAudience && { skipAudience: true }),
    ...(form.allowMissingExp && { allowMissingExp: true }),
    ...(form.allowRsaExponent3 && { allowRsaExponent3: true }),
    ...(form.keyBinding !== "" && form.skipNonce && { skipNonce: true }),
  };
  const audience = words(form.audience);
  return {
    ...(!form.skipIssuer && { issuer: form.issuer.trim() }),
    ...(!form.skipAudience && { audience: audience.length > 1 ? audience : (audience[0] ?? "") }),
    algorithms: form.algorithms,
    ...(form.typ.trim() && { typ: form.typ.trim() }),
    ...seconds("leeway", form.leeway),
    ...seconds("maxLifetime", form.maxLifetime),
    ...seconds("maxAge", form.maxAge),
    ...(form.audienceClaim.trim() && { audienceClaim: form.audienceClaim.trim() }),
    ...(form.requiredClaims.trim() && { requiredClaims: words(form.requiredClaims) }),
    ...(form.keyBinding !== "" && { sdJwt: { keyBinding: form.keyBinding, ...(form.allowPlain && { allowPlain: true }) } }),
    ...(Object.keys(dangerous).length > 0 && { dangerous }),
  };
}

/** The instant to judge by, in seconds; `undefined` is this device's clock. */
export function instant(text: string): number | undefined {
  const value = text.trim();
  if (value === "") return undefined;
  if (/^\d{1,12}(\.\d{1,9})?$/.test(value)) return Number(value);
  const rfc3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)$/.test(value);
  const parsed = rfc3339 ? Date.parse(value.replace(" ", "T").toUpperCase()) : NaN;
  if (Number.isNaN(parsed) || parsed < 0) {
    throw new FieldProblem(`clock: ${JSON.stringify(value)} is neither seconds since 1970 nor an instant such as 2026-11-22T10:00:00Z`);
  }
  return parsed / 1000;
}

/** Presentations of SD-JWTs with proof alone shut out plain tokens, unless they are asked for. */
export function plainByDefault(keyBinding: PolicyForm["keyBinding"]): boolean {
  return keyBinding !== "required";
}

/** The same policy as a program would write it. A nonce is no part of it: it is another one for each presentation. */
export function snippet(options: IssuerOptions): string {
  const settings: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    settings.push(`  ${name}: ${literal(value)},`);
  }
  // Discovery finds the keys of an https issuer alone. A policy that lacks its issuer lacks no keys yet.
  const found = options.issuer === "" || options.issuer?.startsWith("https://");
  if (!found) settings.push("  jwks, // the issuer's JWK Set, as an object or its text");
  const asksNonce = options.sdJwt !== undefined && !options.dangerous?.skipNonce;
  return [
    `import { createVerifier } from "edgeseal";`,
    "",
    "const verifier = createVerifier({",
    ...settings,
    "});",
    "",
    ...(asksNonce
      ? ["// nonce: the one that the holder was given for this presentation", "const { claims } = await verifier.verify(token, { nonce });"]
      : ["const { claims } = await verifier.verify(token);"]),
  ].join("\n");
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value).map(([name, member]) => `${name}: ${literal(member)}`).join(", ")} }`;
  }
  return JSON.stringify(value);
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function seconds(name: "leeway" | "maxLifetime" | "maxAge", text: string): Partial<Record<typeof name, number>> {
  const value = text.trim();
  if (value === "") return {};
  if (!/^\d{1,12}$/.test(value)) throw new FieldProblem(`${name}: ${JSON.stringify(value)} is not a whole number of seconds`);
  return { [name]: Number(value) };
}
