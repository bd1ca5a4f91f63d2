// PURE. A profile's settings between the form and the signer. What is wrong is said at its field, before anything is sent;
// the signer says it again, and says what the page cannot know (how long a new key has to be known, what the HSM can do).
import { lines, seconds, spanText } from "../agents/policy.ts"; // with its ending: a test reads this file without a bundler
import type { Issuer, Mode, Profile, ProfileSettings } from "../api/types";
import type { Key as Text } from "../i18n";

export interface Draft {
  name: string;
  issuer: string;
  algorithm: ProfileSettings["algorithm"];
  rsaBits: string;
  audiences: string;
  maxLifetime: string;
  defaultLifetime: string;
  modes: Mode[];
  typ: string;
  maxSession: string;
  rotateAfter: string;
  publishAhead: string;
}

export type Field = keyof Draft;
export type Wrongs = Partial<Record<Field, { text: Text; values?: Record<string, string> }>>;

export const ALGORITHMS: readonly ProfileSettings["algorithm"][] = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"];
export const MODES: readonly Mode[] = ["claims", "sd", "digest"];
export const RSA_BITS: readonly string[] = ["2048", "3072", "4096"];
/** The signer's bounds, in seconds: `MAX_LIFETIME` and `MAX_SESSION` of its settings. */
const MAX_LIFETIME = 86_400;
const MAX_SESSION = 31 * 86_400;
/** What the signer takes where nothing is said. */
const USUAL_LIFETIME = 3_600;

export const EMPTY: Draft = { name: "", issuer: "", algorithm: "ES256", rsaBits: "2048", audiences: "", maxLifetime: "", defaultLifetime: "", modes: ["claims"], typ: "", maxSession: "", rotateAfter: "", publishAhead: "" };

export function draftOf({ name, settings }: Profile): Draft {
  return {
    name,
    issuer: settings.issuer ?? "",
    algorithm: settings.algorithm,
    rsaBits: String(settings.rsa_bits ?? 2048),
    audiences: settings.audiences.join("\n"),
    maxLifetime: span(settings.max_lifetime),
    defaultLifetime: span(settings.default_lifetime),
    modes: settings.modes ?? ["claims"],
    typ: settings.typ ?? "",
    maxSession: span(settings.max_session),
    rotateAfter: span(settings.rotate_after),
    publishAhead: span(settings.publish_ahead),
  };
}

/** `taken` are the names of the profiles that are there, when one is created. */
export function check(draft: Draft, taken: readonly string[] = []): { settings?: ProfileSettings; wrongs: Wrongs } {
  const wrongs: Wrongs = {};
  const name = draft.name.trim();
  if (!/^[a-z0-9._-]{1,64}$/.test(name)) wrongs.name = { text: "profile.wrong.name" };
  else if (taken.includes(name)) wrongs.name = { text: "profile.wrong.taken", values: { name } };
  const audiences = lines(draft.audiences);
  if (audiences.length === 0) wrongs.audiences = { text: "profile.wrong.audiences" };
  if (draft.modes.length === 0) wrongs.modes = { text: "profile.wrong.modes" };
  else if (draft.modes.includes("digest") && !rsaOrEcdsa(draft.algorithm)) wrongs.modes = { text: "profile.wrong.digest", values: { alg: draft.algorithm } };
  const typ = draft.typ.trim();
  if (typ && !/^[A-Za-z0-9!#$&^_.+-]{1,127}(\/[A-Za-z0-9!#$&^_.+-]{1,127})?$/.test(typ)) wrongs.typ = { text: "profile.wrong.typ" };

  const spans: Partial<Record<Field, number>> = {};
  for (const field of ["maxLifetime", "defaultLifetime", "maxSession", "rotateAfter", "publishAhead"] as const) {
    if (!draft[field].trim()) continue;
    const found = seconds(draft[field]);
    if (found === null) wrongs[field] = { text: "policy.wrong.span" };
    else spans[field] = found;
  }
  const between = (field: "maxLifetime" | "defaultLifetime" | "maxSession", least: number, most: number) => {
    const found = spans[field];
    if (found !== undefined && (found < least || found > most)) wrongs[field] = { text: "profile.wrong.between", values: { least: spanText(least), most: spanText(most) } };
  };
  between("maxLifetime", 1, MAX_LIFETIME);
  // What depends on the longest lifetime is compared once that one can be meant.
  if (!wrongs.maxLifetime) {
    const longest = spans.maxLifetime ?? USUAL_LIFETIME;
    between("defaultLifetime", 1, longest);
    between("maxSession", longest, MAX_SESSION);
  }
  if (Object.keys(wrongs).length > 0) return { wrongs };

  const settings: ProfileSettings = { algorithm: draft.algorithm, audiences, modes: MODES.filter((mode) => draft.modes.includes(mode)) };
  if (isRsa(draft.algorithm)) settings.rsa_bits = Number(draft.rsaBits);
  if (draft.issuer) settings.issuer = draft.issuer;
  if (typ) settings.typ = typ;
  if (spans.maxLifetime !== undefined) settings.max_lifetime = spans.maxLifetime;
  if (spans.defaultLifetime !== undefined) settings.default_lifetime = spans.defaultLifetime;
  if (spans.maxSession !== undefined) settings.max_session = spans.maxSession;
  if (spans.rotateAfter !== undefined) settings.rotate_after = spans.rotateAfter;
  if (spans.publishAhead !== undefined) settings.publish_ahead = spans.publishAhead;
  return { settings, wrongs };
}

/** What a change means for the keys: those of another algorithm or issuer sign nothing for the profile, those of other bits still do. */
export function changeOf(draft: Draft, profile: Profile): "kind" | "bits" | undefined {
  const before = draftOf(profile);
  if (draft.algorithm !== before.algorithm || draft.issuer !== before.issuer) return "kind";
  return isRsa(draft.algorithm) && draft.rsaBits !== before.rsaBits ? "bits" : undefined;
}

/** Seconds for which a new key of the draft's issuer is published before it may sign; none is known where its JWK Set never had a key. */
export function waitOf(draft: Draft, issuers: readonly Issuer[]): number | undefined {
  const set = issuers.find(({ name }) => name === draft.issuer);
  if (!set?.jwks_changed_at || !set.jwks_known_by) return undefined;
  const known = (Date.parse(set.jwks_known_by) - Date.parse(set.jwks_changed_at)) / 1_000;
  return Math.max(known, seconds(draft.publishAhead) ?? 0);
}

/** The field of the form that a member of the request is (`settings.max_lifetime`). */
export function fieldOf(member: string | undefined): Field | undefined {
  const plain = member?.replace(/^settings\./, "").replace(/\[.*$/, "").replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return plain !== undefined && Object.hasOwn(EMPTY, plain) ? (plain as Field) : undefined;
}

export function isRsa(algorithm: string): boolean {
  return /^[RP]S/.test(algorithm);
}

function rsaOrEcdsa(algorithm: string): boolean {
  return /^[REP]S/.test(algorithm);
}

function span(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return "";
  const found = seconds(String(value));
  return found === null ? String(value) : spanText(found);
}
