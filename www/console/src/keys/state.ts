import type { Key, KeyDetail, Profile } from "../api/types";
import type { Tone } from "../kit";

const TONES: Record<string, Tone> = { active: "good", published: "info", retiring: "good", suspended: "warn", compromised: "bad", destroy_scheduled: "bad", failed: "bad" };

export function stateTone(state: string): Tone {
  return TONES[state] ?? "plain";
}

export const STEPS = ["activate", "retire", "suspend", "resume", "compromise", "schedule-destroy", "cancel-destroy"] as const;
export type Step = (typeof STEPS)[number];

/** The steps that start from a state, as the signer's state machine has them; the signer still decides. */
export function stepsFrom(state: string): Step[] {
  switch (state) {
    case "published":
      return ["activate", "retire", "compromise"];
    case "active":
      return ["suspend", "compromise"];
    case "suspended":
      return ["resume", "compromise"];
    case "retiring":
      return ["retire", "compromise"];
    case "retired":
      return ["schedule-destroy", "compromise"];
    case "compromised":
      return ["schedule-destroy"];
    case "destroy_scheduled":
      return ["cancel-destroy", "compromise"];
    // A copy of it may be elsewhere, and its tokens live.
    case "destroyed":
      return ["compromise"];
    default:
      return [];
  }
}

/**
 * The steps of one key: what is destroyed is not destroyed again, whatever became known of it afterwards, and what somebody
 * proposed to destroy is not proposed again.
 */
export function stepsOf({ state, destroyed_at: destroyed }: Pick<Key, "state" | "destroyed_at">, proposed: boolean): Step[] {
  return stepsFrom(state).filter((step) => step !== "schedule-destroy" || !(destroyed || proposed));
}

export type Kind = Pick<Profile, "name" | "algorithm" | "issuer_name">;

/** Whether a key could sign for the profile as it is now: one of another algorithm or issuer signs nothing for it. */
export function fits({ profile, alg, issuer }: Key, { name, algorithm, issuer_name }: Kind): boolean {
  return profile === name && alg === algorithm && issuer === issuer_name;
}

export interface Turn {
  name: string;
  active: Key | undefined;
  /** The oldest that fits. */
  standby: Key | undefined;
}

/** What can be rotated by hand: each of these profiles, and each agent's own keys under it. */
export function turnsOf(keys: readonly Key[], profiles: readonly Kind[]): Turn[] {
  const turns = new Map<string, Turn>();
  for (const key of keys) {
    if (key.purpose !== "token" || (key.state !== "active" && key.state !== "published")) continue;
    const profile = profiles.find(({ name }) => name === key.profile);
    if (!profile) continue;
    const name = key.agent ? `${key.profile} / ${key.agent}` : key.profile;
    const turn = turns.get(name) ?? { name, active: undefined, standby: undefined };
    if (key.state === "active") turn.active = key;
    else if (fits(key, profile) && (!turn.standby || key.created_at < turn.standby.created_at)) turn.standby = key;
    turns.set(name, turn);
  }
  return [...turns.values()].sort((a, b) => a.name.localeCompare(b.name));
}

/** The earliest time of a step, where the signer has said one that lies ahead: with the key, or in the answer for that key alone. */
export function earliest(key: Key, step: Step, now: number, actions: KeyDetail["actions"] = []): string | undefined {
  const withKey = step === "activate" ? key.can_sign_from : step === "retire" && key.state === "retiring" ? key.until : undefined;
  const at = withKey ?? actions.find(({ action }) => action === step)?.earliest;
  return at && Date.parse(at) > now ? at : undefined;
}
