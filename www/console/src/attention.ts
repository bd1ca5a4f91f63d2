// PURE. What a person should look at, the gravest first.
import type { Key as Text } from "./i18n";
import { personOf, type Activity, type Approval, type AuditStatus, type Edge, type Key, type Profile } from "./api/types.ts";
import { fits, type Kind as KeyKind } from "./keys/state.ts"; // with their endings: a test reads this file without a bundler

export interface Attention {
  id: string;
  tone: "bad" | "warn" | "info";
  title: Text;
  detail: Text;
  values: Record<string, string>;
  /** Moments among the values: shown in words, but `until` as a date alone, since "until in 6 days" is no English. */
  moments: Record<string, string>;
  href: string;
}

export interface Known {
  me: string;
  keys: readonly Key[];
  approvals: readonly Approval[];
  /** Profiles that should have a key that signs. */
  profiles: readonly (KeyKind & Pick<Profile, "kid">)[];
  activity: Activity | undefined;
  edges: readonly Edge[];
  audit: AuditStatus | undefined;
  recoveryCodesLeft: number | undefined;
  now: number;
}

const DAY = 86_400_000;
const SOON = 7 * DAY;
/** A log whose last checkpoint is older than this is not being tied together. How often one is made, the signer does not say. */
const CHECKPOINT_LATE = DAY / 12;
const RANK = { bad: 0, warn: 1, info: 2 };

export function attention(known: Known): Attention[] {
  const found = [...signing(known), ...compromised(known), ...suspended(known), ...failed(known), ...running(known), ...checkpoints(known), ...proposals(known), ...successors(known), ...ends(known), ...codes(known)];
  return found.sort((a, b) => RANK[a.tone] - RANK[b.tone]);
}

function* signing({ profiles, keys, now }: Known): Iterable<Attention> {
  for (const profile of profiles) {
    // An active key that does not fit its profile signs nothing: the signer knows which one does.
    if (profile.kid) continue;
    const held = heldUp(keys, profile);
    if (held) {
      yield item("nobody-signs", "bad", profile.name, { profile: profile.name, key: shortOf(held) }, held.suspended_at ? { when: held.suspended_at } : {}, hrefOf(held), "suspended");
      continue;
    }
    const [when] = ofProfile(keys, profile, "published").flatMap(({ can_sign_from: from }) => from ?? []).sort();
    const variant = !when ? "none" : Date.parse(when) <= now ? "now" : "standby";
    yield item("nobody-signs", "bad", profile.name, { profile: profile.name }, variant === "standby" && when ? { when } : {}, "/keys", variant);
  }
}

/** The suspended key for which the profile waits: no key signs for it, and no standby could take over. */
function heldUp(keys: readonly Key[], profile: Known["profiles"][number]): Key | undefined {
  if (profile.kid || ofProfile(keys, profile, "published").length > 0) return undefined;
  return ofProfile(keys, profile, "suspended")[0];
}

function ofProfile(keys: readonly Key[], profile: KeyKind, state: Key["state"]): Key[] {
  return keys.filter((key) => key.purpose === "token" && key.state === state && !key.agent && fits(key, profile));
}

function* compromised({ keys }: Known): Iterable<Attention> {
  // Once it is destroyed, nothing is left to do about it.
  for (const key of keys.filter(({ state, destroyed_at: destroyed }) => state === "compromised" && !destroyed)) {
    yield item("compromised", "warn", nameOf(key), { key: shortOf(key), profile: placeOf(key) }, key.compromised_at ? { when: key.compromised_at } : {}, hrefOf(key));
  }
}

function* suspended({ keys, profiles }: Known): Iterable<Attention> {
  // Of these it is said that nobody signs.
  const said = new Set(profiles.map((profile) => heldUp(keys, profile)));
  for (const key of keys.filter((key) => key.state === "suspended" && !said.has(key))) {
    yield item("suspended", "warn", nameOf(key), { key: shortOf(key), profile: placeOf(key) }, key.suspended_at ? { when: key.suspended_at } : {}, hrefOf(key));
  }
}

function* failed({ keys, now }: Known): Iterable<Attention> {
  for (const key of keys) {
    const recent = now - Date.parse(key.created_at) < DAY;
    if (key.state === "failed" && recent) yield item("failed", "warn", nameOf(key), { profile: placeOf(key) }, { when: key.created_at }, "/keys");
  }
}

function* running({ activity, edges }: Known): Iterable<Attention> {
  if (activity?.ready === false) yield item("not-ready", "bad", "signer", { reason: activity.not_ready ?? "" }, {}, "/activity");
  if (activity && activity.hsm.breaker !== "closed") yield item("breaker", "bad", "hsm", {}, {}, "/activity");
  if (activity && activity.hsm.quarantined > 0) yield item("quarantined", "warn", "hsm", { n: String(activity.hsm.quarantined) }, {}, "/activity");
  for (const { id, name, state, trouble } of edges) {
    // An edge that is only being told is in order; one that does not answer is not.
    if (state !== "current" && trouble) yield item("edge", "warn", id, { edge: name, reason: trouble }, {}, "/edges");
  }
}

function* checkpoints({ audit, activity, now }: Known): Iterable<Attention> {
  if (!audit) return;
  const { last_checkpoint_at: last, rows } = audit;
  if (last && isLate(audit, now)) yield item("audit", "warn", "audit", { n: String(audit.rows_after_last_checkpoint) }, { when: last }, "/audit", "late");
  // The first one is made a while after the first start.
  const since = activity?.started_at;
  if (!last && rows > 0 && since && now - Date.parse(since) > CHECKPOINT_LATE) yield item("audit", "warn", "audit", {}, { when: since }, "/audit", "none");
}

/** Whether rows wait for a checkpoint for too long. It says nothing of whether the chain holds: nobody verified it. */
export function isLate({ last_checkpoint_at: last, rows_after_last_checkpoint: later }: AuditStatus, now: number): boolean {
  return last !== null && later > 0 && now - Date.parse(last) > CHECKPOINT_LATE;
}

function* proposals({ approvals, me }: Known): Iterable<Attention> {
  for (const { proposal, kid, proposer, approve_until: until } of approvals) {
    const who = personOf(proposer);
    yield item(who === me ? "own-proposal" : "proposal", who === me ? "info" : "warn", proposal, { key: kid.slice(0, 8), who }, who === me ? { until } : { when: until }, `/keys/${encodeURIComponent(kid)}`);
  }
}

function* successors({ keys, profiles, now }: Known): Iterable<Attention> {
  for (const key of keys) {
    if (key.state !== "active" || !key.rotation || Date.parse(key.rotation) - now > SOON) continue;
    const profile = profiles.find(({ name }) => key.purpose === "token" && name === key.profile);
    const standby = keys.some((other) => other.state === "published" && other.purpose === key.purpose && other.profile === key.profile && other.agent === key.agent && (!profile || fits(other, profile)));
    if (!standby) yield item("no-standby", "warn", nameOf(key), { profile: placeOf(key) }, { when: key.rotation }, "/keys");
  }
}

function* ends({ keys, now }: Known): Iterable<Attention> {
  for (const key of keys) {
    if (key.state === "active" && key.not_after && Date.parse(key.not_after) - now < SOON) yield item("ends", "warn", nameOf(key), { key: shortOf(key), profile: placeOf(key) }, { when: key.not_after }, hrefOf(key));
  }
}

function* codes({ recoveryCodesLeft: left }: Known): Iterable<Attention> {
  if (left !== undefined && left < 3) yield item("codes", "info", "me", { n: String(left) }, {}, "/account");
}

type Kind = "nobody-signs" | "compromised" | "suspended" | "failed" | "not-ready" | "breaker" | "quarantined" | "audit" | "edge" | "own-proposal" | "proposal" | "no-standby" | "ends" | "codes";

function item(kind: Kind, tone: Attention["tone"], about: string, values: Record<string, string>, moments: Record<string, string>, href: string, variant?: "standby" | "now" | "suspended" | "none" | "late"): Attention {
  const stem = kind.replaceAll("-", "_");
  return { id: `${kind}:${about}`, tone, title: `attention.${stem}.title` as Text, detail: `attention.${stem}.${variant ?? "detail"}` as Text, values, moments, href };
}

function nameOf(key: Key): string {
  return key.kid ?? key.cka_id;
}

function shortOf(key: Key): string {
  return key.label ?? nameOf(key).slice(0, 8);
}

function placeOf(key: Key): string {
  return key.profile || key.purpose;
}

function hrefOf(key: Key): string {
  return `/keys/${encodeURIComponent(nameOf(key))}`;
}
