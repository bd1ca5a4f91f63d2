import type { Profile } from "../api/types";
import { useWords } from "../i18n";
import { CheckBox, TextArea, TextField } from "../kit";
import type { Draft, Field, Wrongs } from "./policy";

/** The fields of a policy, each with what is wrong with it. */
export function PolicyFields({ draft, onChange, wrongs, profiles }: { draft: Draft; onChange: (draft: Draft) => void; wrongs: Wrongs; profiles: Profile[] }) {
  const { t, span } = useWords();
  const set = (field: Field) => (event: { target: { value: string } }) => onChange({ ...draft, [field]: event.target.value });
  const wrong = (field: Field) => {
    const found = wrongs[field];
    return found && t(found.text, found.values);
  };
  const toggle = (name: string, on: boolean) => onChange({ ...draft, profiles: on ? [...draft.profiles, name] : draft.profiles.filter((one) => one !== name) });
  return (
    <>
      <fieldset className="form choices">
        <legend>{t("policy.profiles")}</legend>
        {wrong("profiles") && (
          <p className="wrong" role="alert">
            {wrong("profiles")}
          </p>
        )}
        <div className="checks">
          {profiles.map(({ name, algorithm, max_lifetime }) => (
            <CheckBox key={name} label={name} hint={`${algorithm}, ${span(max_lifetime)}`} checked={draft.profiles.includes(name)} onChange={(event) => toggle(name, event.target.checked)} data-testid={`profile-${name}`} />
          ))}
        </div>
      </fieldset>
      <TextArea label={t("policy.audiences")} hint={t("policy.audiences_hint")} wrong={wrong("audiences")} value={draft.audiences} onChange={set("audiences")} rows={2} data-testid="audiences" />
      <div className="pair">
        <TextField label={t("policy.max_lifetime")} hint={t("policy.max_lifetime_hint")} wrong={wrong("maxLifetime")} value={draft.maxLifetime} onChange={set("maxLifetime")} placeholder="10m" data-testid="max-lifetime" />
        <TextField label={t("policy.rate")} hint={t("policy.rate_hint")} wrong={wrong("rate")} value={draft.rate} onChange={set("rate")} inputMode="numeric" data-testid="rate" />
      </div>
      <div className="pair">
        <TextArea label={t("policy.required")} hint={t("policy.claims_hint")} wrong={wrong("required")} value={draft.required} onChange={set("required")} rows={2} data-testid="required" />
        <TextArea label={t("policy.forbidden")} hint={t("policy.claims_hint")} wrong={wrong("forbidden")} value={draft.forbidden} onChange={set("forbidden")} rows={2} data-testid="forbidden" />
      </div>
    </>
  );
}
