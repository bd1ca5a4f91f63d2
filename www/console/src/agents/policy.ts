// PURE. An agent's policy between the form and the signer. What is wrong is said at its field, before anything is sent;
// the signer says it again.
import type { Key as Text } from "../i18n";
import type { Policy, Profile } from "../api/types";

export interface Draft {
  profiles: string[];
  audiences: string;
  maxLifetime: string;
  required: string;
  forbidden: string;
  rate: string;
}

export type Field = keyof Draft;
export type Wrongs = Partial<Record<Field, { text: Text; values?: Record<string, string> }>>;

/** Claims that the signer writes itself (RFC 7519 section 4.1): a policy can neither demand nor forbid them. */
const WRITTEN = ["iss", "aud", "exp", "nbf", "iat", "jti", "cnf", "edgeseal_session"];
const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

export const EMPTY: Draft = { profiles: [], audiences: "", maxLifetime: "", required: "", forbidden: "", rate: "" };

export function draftOf(policy: Policy | null | undefined): Draft {
  if (!policy) return EMPTY;
  return {
    profiles: policy.profiles,
    audiences: (policy.audiences ?? []).join("\n"),
    maxLifetime: policy.max_lifetime ? spanText(policy.max_lifetime) : "",
    required: (policy.required_claims ?? []).join("\n"),
    forbidden: (policy.forbidden_claims ?? []).join("\n"),
    rate: policy.rate ? String(policy.rate) : "",
  };
}

export function check(draft: Draft, profiles: readonly Profile[]): { policy?: Policy; wrongs: Wrongs } {
  const wrongs: Wrongs = {};
  const audiences = lines(draft.audiences);
  const required = lines(draft.required);
  const forbidden = lines(draft.forbidden);
  const chosen = profiles.filter(({ name }) => draft.profiles.includes(name));
  if (draft.profiles.length === 0) wrongs.profiles = { text: "policy.wrong.profiles" };

  const lifetime = draft.maxLifetime.trim() ? seconds(draft.maxLifetime) : undefined;
  const longest = Math.max(...chosen.map(({ max_lifetime }) => max_lifetime));
  if (lifetime === null || lifetime === 0) wrongs.maxLifetime = { text: "policy.wrong.span" };
  else if (lifetime !== undefined && chosen.length > 0 && lifetime > longest) wrongs.maxLifetime = { text: "policy.wrong.longer", values: { most: spanText(longest) } };

  const written = (names: string[]) => names.find((name) => WRITTEN.includes(name));
  const both = required.find((name) => forbidden.includes(name));
  const demanded = written(required);
  const refused = written(forbidden);
  if (demanded) wrongs.required = { text: "policy.wrong.written", values: { claim: demanded } };
  if (refused) wrongs.forbidden = { text: "policy.wrong.written", values: { claim: refused } };
  else if (both) wrongs.forbidden = { text: "policy.wrong.both", values: { claim: both } };

  const rate = draft.rate.trim() ? Number(draft.rate) : undefined;
  if (rate !== undefined && !(Number.isInteger(rate) && rate >= 1 && rate <= 4_294_967_295)) wrongs.rate = { text: "policy.wrong.rate" };

  if (Object.keys(wrongs).length > 0) return { wrongs };
  const policy: Policy = { profiles: draft.profiles };
  if (audiences.length) policy.audiences = audiences;
  if (typeof lifetime === "number") policy.max_lifetime = lifetime;
  if (required.length) policy.required_claims = required;
  if (forbidden.length) policy.forbidden_claims = forbidden;
  if (rate !== undefined) policy.rate = rate;
  return { policy, wrongs };
}

/** One a line: names of claims and audiences may hold commas and spaces. */
export function lines(text: string): string[] {
  return [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];
}

/** Seconds of `90`, `15m`, `1h`; null when it is no span. */
export function seconds(text: string): number | null {
  const match = /^([0-9]{1,10})([smhd]?)$/.exec(text.trim());
  return match ? Number(match[1]) * (UNITS[match[2] || "s"] ?? 1) : null;
}

export function spanText(span: number): string {
  for (const unit of ["d", "h", "m"] as const) {
    const size = UNITS[unit] ?? 1;
    if (span >= size && span % size === 0) return `${span / size}${unit}`;
  }
  return `${span}s`;
}
