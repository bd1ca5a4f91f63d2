// One step of one key: what it will do in words, and the doing of it.
import { useEffect, useState } from "react";
import { useAgain, useAsksPasskey } from "../api/queries";
import { send } from "../api/session";
import type { Approval, Key, KeyDetail, KeyStep as Done, Profile } from "../api/types";
import { useWords, type Words } from "../i18n";
import { CheckBox, Confirm, Notice, Short, TextField } from "../kit";
import { useTell } from "../kit/toasts";
import { earliest, fits, type Step } from "./state";

const DANGEROUS: readonly Step[] = ["compromise", "schedule-destroy"];

interface Props {
  of: Key;
  step: Step | undefined;
  onClose: () => void;
  now: number;
  keys: Key[];
  actions: KeyDetail["actions"] | undefined;
  profiles: Profile[];
  mayEmergency: boolean;
}

export function KeyStep({ of: key, step, onClose, now, keys, actions, profiles, mayEmergency }: Props) {
  const words = useWords();
  const { t, date } = words;
  const again = useAgain();
  const asksPasskey = useAsksPasskey();
  const tell = useTell();
  const [days, setDays] = useState("7");
  const [emergency, setEmergency] = useState(false);
  const same = keys.filter((other) => other.purpose === key.purpose && other.profile === key.profile && other.agent === key.agent && other.cka_id !== key.cka_id);
  const active = same.find(({ state }) => state === "active");
  const profile = profiles.find(({ name }) => key.purpose === "token" && name === key.profile);
  const fit = !profile || fits(key, profile);
  const wait = step && earliest(key, step, now, actions);
  const emergencyPossible = step === "activate" && wait !== undefined && !active && mayEmergency;
  const urgent = emergencyPossible && emergency;
  // What was ticked or typed for a step that was called off says nothing of the next one.
  useEffect(() => {
    setDays("7");
    setEmergency(false);
  }, [step]);

  const run = async () => {
    if (!step) return;
    const body = step === "schedule-destroy" ? { days: Number(days) } : urgent ? { emergency: true } : undefined;
    const done = await send<Done | Approval>("POST", `/admin/v1/keys/${encodeURIComponent(key.kid ?? "")}:${step}`, body);
    await again("/admin/v1/keys", "/admin/v1/approvals", "/admin/v1/profiles");
    if ("proposal" in done) tell(t("steps.proposed"), t("steps.proposed_detail", { when: date(done.approve_until) }));
    else tell(t(`steps.${keyOf(step)}.done`), afterwards(done, words));
  };

  if (!step) return null;
  return (
    <Confirm
      open
      onClose={onClose}
      danger={DANGEROUS.includes(step) || urgent}
      passkey={urgent || asksPasskey(`POST /admin/v1/keys/{kid}:${step}`)}
      title={t(`steps.${keyOf(step)}.title`)}
      lead={
        <>
          {key.label && <b>{key.label} </b>}
          <Short text={key.kid ?? ""} head={12} tail={8} /> · {key.alg}
        </>
      }
      will={willOf(key, step, same, words, days, fit)}
      confirm={t(`steps.${keyOf(step)}.button`)}
      disabled={wait !== undefined && !urgent}
      run={run}
    >
      {step === "schedule-destroy" && <TextField label={t("steps.days")} hint={t("steps.days_hint")} type="number" min={7} max={30} required value={days} onChange={(event) => setDays(event.target.value)} data-testid="days" />}
      {wait && (
        <Notice tone="warn" title={t("steps.not_before", { when: date(wait) })}>
          <p>{step === "activate" ? t("steps.activate.why") : t("steps.retire.why")}</p>
        </Notice>
      )}
      {step === "activate" && wait && mayEmergency && active && profile && !fits(active, profile) && (
        <Notice tone="info">
          <p>{t("steps.emergency_beside", { key: shortOf(active) })}</p>
        </Notice>
      )}
      {emergencyPossible && <CheckBox label={t("steps.emergency")} hint={t("steps.emergency_hint")} checked={emergency} onChange={(event) => setEmergency(event.target.checked)} data-testid="emergency" />}
    </Confirm>
  );
}

export function keyOf(step: Step) {
  return step.replaceAll("-", "_") as "activate" | "retire" | "suspend" | "resume" | "compromise" | "schedule_destroy" | "cancel_destroy";
}

function shortOf({ label, kid }: Key): string {
  return label ?? kid?.slice(0, 8) ?? "";
}

function willOf(key: Key, step: Step, same: Key[], { t, span }: Words, days: string, fit: boolean): string[] {
  const active = same.find(({ state }) => state === "active");
  const standby = same.find(({ state }) => state === "published");
  switch (step) {
    case "activate":
      return [fit ? t("steps.activate.will") : t("steps.activate.will_unfit"), ...(active ? [t("rotate.will_retire", { key: shortOf(active), span: span(active.max_lifetime) })] : [])];
    case "retire":
      return [t("steps.retire.will"), key.activated_at ? t("steps.retire.will_signed") : key.origin === "imported" ? t("steps.retire.will_elsewhere") : t("steps.retire.will_never")];
    case "suspend":
      return [t("steps.suspend.will"), standby ? t("steps.suspend.will_standby") : t("steps.suspend.will_nobody"), t("steps.suspend.will_live")];
    case "resume":
      return [active ? t("steps.resume.will_retire") : t("steps.resume.will")];
    case "compromise":
      return [
        ...(key.purpose === "token" ? [t("steps.compromise.will_out"), t("steps.compromise.will_tokens")] : [t("steps.compromise.will_unused")]),
        ...(key.state === "active" ? [standby ? t("steps.compromise.will_standby", { key: shortOf(standby) }) : t(key.purpose === "token" ? "steps.compromise.will_nobody" : "steps.compromise.will_nobody_own")] : []),
        t("steps.compromise.will_final"),
      ];
    case "schedule-destroy":
      return [t("steps.schedule_destroy.will_propose"), t("approvals.will_schedule", { days }), t("approvals.will_both")];
    case "cancel-destroy":
      return [t("steps.cancel_destroy.will")];
  }
}

/** What else the signer said of a step. */
function afterwards(done: Done, { t, date }: Words): string | undefined {
  const parts = [
    done.successor && t("steps.successor", { key: done.successor.slice(0, 8) }),
    done.key_not_found_possible_until && t("steps.window", { when: date(done.key_not_found_possible_until) }),
  ].filter(Boolean);
  return parts.length ? parts.join(" ") : undefined;
}
