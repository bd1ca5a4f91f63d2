// PURE. What a key's moments come to as stretches of time, and which window of time shows them.
import type { Key } from "../api/types";

export type Tone = "published" | "active" | "suspended" | "retiring" | "retired" | "compromised" | "destroy_scheduled";

export interface Segment {
  tone: Tone;
  from: number;
  to: number;
  /** Not yet: what will be if nobody acts. */
  planned: boolean;
}

export interface Lane {
  key: Key;
  segments: Segment[];
  /** When it was, or will be, destroyed. */
  end: number | undefined;
}

export interface SlotLanes {
  name: string;
  profile: string;
  agent: string | null;
  purpose: string;
  issuer: string;
  lanes: Lane[];
}

const HIDDEN = new Set(["generating", "failed"]);

/** Keys by what they sign for, each slot's newest key first; slots of tokens before those of the signer itself. */
export function slotsOf(keys: readonly Key[], now: number): SlotLanes[] {
  const slots = new Map<string, Key[]>();
  for (const key of keys) {
    if (HIDDEN.has(key.state)) continue;
    const name = [key.purpose, key.issuer, key.profile, key.agent ?? ""].join("\n");
    slots.set(name, [...(slots.get(name) ?? []), key]);
  }
  const order = (purpose: string) => (purpose === "token" ? 0 : 1);
  return [...slots.entries()]
    .map(([name, held]) => {
      const [first] = held as [Key, ...Key[]];
      const turn = turnOf(held);
      const lanes = [...held].sort((a, b) => at(b.created_at, 0) - at(a.created_at, 0)).map((key) => laneOf(key, now, turn));
      return { name, profile: first.profile, agent: first.agent ?? null, purpose: first.purpose, issuer: first.issuer, lanes };
    })
    .sort((a, b) => order(a.purpose) - order(b.purpose) || a.profile.localeCompare(b.profile) || (a.agent ?? "").localeCompare(b.agent ?? ""));
}

/** When the standby of these keys takes over, where that is known. */
function turnOf(keys: readonly Key[]): number | undefined {
  const active = keys.find((key) => key.state === "active");
  return active?.rotation ? Date.parse(active.rotation) : undefined;
}

export function laneOf(key: Key, now: number, turn: number | undefined): Lane {
  const segments: Segment[] = [];
  const add = (tone: Tone, from: number | undefined, to: number | undefined, planned = false) => {
    if (from !== undefined && to !== undefined && to >= from) segments.push({ tone, from, to, planned });
  };
  const published = moment(key.published_at);
  const activated = moment(key.activated_at);
  const suspended = moment(key.suspended_at);
  const demoted = moment(key.demoted_at);
  const retired = moment(key.retired_at);
  const compromised = moment(key.compromised_at);
  const destroyed = moment(key.destroyed_at);
  const scheduled = moment(key.destroy_at);
  const until = moment(key.until);
  // The first of these that has come is where a stretch ends.
  const first = (...ends: (number | undefined)[]) => Math.min(...ends.filter((end) => end !== undefined), now);

  add("published", published, first(activated, retired, compromised, destroyed));
  if (activated !== undefined) add("active", activated, first(suspended, demoted, retired, compromised, destroyed));
  if (suspended !== undefined) add("suspended", suspended, first(demoted, retired, compromised, destroyed));
  if (demoted !== undefined) add("retiring", demoted, first(retired, compromised, destroyed));
  if (compromised !== undefined) add("compromised", compromised, first(destroyed));
  else if (retired !== undefined) add("retired", retired, first(destroyed));

  if (key.state === "active") add("active", now, moment(key.rotation) ?? moment(key.not_after), true);
  if (key.state === "published") add("published", now, turn, true);
  if (key.state === "retiring") add("retiring", now, until, true);
  if (key.state === "destroy_scheduled") add("destroy_scheduled", now, scheduled, true);
  return { key, segments, end: destroyed ?? (key.state === "destroy_scheduled" ? scheduled : undefined) };
}

export interface Window {
  from: number;
  to: number;
}

export const SPANS = { fit: undefined, day: 86_400_000, month: 30 * 86_400_000, year: 365 * 86_400_000 } as const;
export type Span = keyof typeof SPANS;

/** The stretch of time to show: a span around now, or all that there is. */
export function windowOf(slots: readonly SlotLanes[], now: number, span: Span): Window {
  const fixed = SPANS[span];
  if (fixed !== undefined) return { from: now - fixed * 0.45, to: now + fixed * 0.55 };
  let from = now;
  let to = now + 3_600_000;
  for (const { lanes } of slots) {
    for (const { segments, end } of lanes) {
      for (const segment of segments) {
        from = Math.min(from, segment.from);
        to = Math.max(to, segment.to);
      }
      if (end !== undefined) to = Math.max(to, end);
    }
  }
  const length = to - from;
  // Some of the past and some of the future are always seen.
  return { from: Math.min(from - length * 0.02, now - length * 0.14), to: Math.max(to + length * 0.04, now + length * 0.1) };
}

const MINUTE = 60_000;
const STEPS = [1, 5, 15, 30, 60, 180, 360, 720, 1_440, 2_880, 7 * 1_440, 14 * 1_440, 30 * 1_440, 60 * 1_440, 91 * 1_440, 182 * 1_440, 365 * 1_440, 730 * 1_440].map((minutes) => minutes * MINUTE);

/** Moments for the axis, at most `count` of them. */
export function ticksOf({ from, to }: Window, count: number): { at: number[]; step: number } {
  const step = STEPS.find((step) => (to - from) / step <= count) ?? (to - from) / count;
  const offset = new Date(from).getTimezoneOffset() * MINUTE;
  const start = Math.ceil((from - offset) / step) * step + offset;
  const ticks = [];
  for (let tick = start; tick <= to; tick += step) ticks.push(tick);
  return { at: ticks, step };
}

export function share({ from, to }: Window, at: number): number {
  return Math.min(1, Math.max(0, (at - from) / (to - from)));
}

function moment(text: string | null | undefined): number | undefined {
  return text ? Date.parse(text) : undefined;
}

function at(text: string | null | undefined, otherwise: number): number {
  return moment(text) ?? otherwise;
}
