// The signer's counters read again and again, and what they come to per second. The history is the page's own: it begins
// when the console is opened, and is kept while it is.
import { useEffect, useSyncExternalStore } from "react";
import { useResource } from "./api/queries";
import type { Activity } from "./api/types";

export interface Sample {
  at: number;
  /** Tokens a second. */
  tokens: number;
  /** Refusals and failures a second. */
  refused: number;
}

const KEPT = 150;
let samples: Sample[] = [];
let last: { at: number; issued: number; refused: number; startedAt: string } | undefined;
const listeners = new Set<() => void>();

export function useActivity(every = 2): { activity: Activity | undefined; error: unknown; rate: number | undefined; history: Sample[]; again: () => void } {
  const { data, error, dataUpdatedAt, refetch } = useResource<Activity>("/admin/v1/activity", { every });
  useEffect(() => {
    if (data) take(data, dataUpdatedAt);
  }, [data, dataUpdatedAt]);
  const history = useSyncExternalStore(subscribe, () => samples);
  const recent = history.slice(-5);
  const rate = recent.length ? recent.reduce((sum, { tokens }) => sum + tokens, 0) / recent.length : undefined;
  return { activity: data, error, rate, history, again: () => void refetch() };
}

function take(activity: Activity, at: number) {
  const issued = sum(activity, (outcome) => outcome === "issued");
  const refused = sum(activity, (outcome) => outcome !== "issued");
  const before = last;
  if (before && before.at >= at) return;
  last = { at, issued, refused, startedAt: activity.started_at };
  // After a restart the counters begin anew.
  if (!before || before.startedAt !== activity.started_at) return;
  const seconds = (at - before.at) / 1_000;
  if (seconds < 0.2) return;
  samples = [...samples, { at, tokens: Math.max(0, issued - before.issued) / seconds, refused: Math.max(0, refused - before.refused) / seconds }].slice(-KEPT);
  for (const listener of listeners) listener();
}

function sum(activity: Activity, which: (outcome: string) => boolean): number {
  return activity.tokens.reduce((total, { outcome, count }) => total + (which(outcome) ? count : 0), 0);
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
