// A profile is created or changed: every setting that the signer has, each with what is wrong with it.
import { useEffect, useState, type FormEvent } from "react";
import { ApiProblem } from "../api/problem";
import { useAgain } from "../api/queries";
import { send } from "../api/session";
import type { Issuer, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Button, CheckBox, Choice, Dialog, Notice, Refusal, TextArea, TextField } from "../kit";
import { useTell } from "../kit/toasts";
import { ALGORITHMS, changeOf, check, draftOf, EMPTY, fieldOf, isRsa, MODES, RSA_BITS, waitOf, type Draft, type Field } from "./settings";

interface EditorProps {
  open: boolean;
  onClose: () => void;
  /** The one that is changed; a new one without it. */
  profile?: Profile | undefined;
  profiles: Profile[];
  issuers: Issuer[];
}

export function ProfileEditor({ open, onClose, profile, profiles, issuers }: EditorProps) {
  const { t, word, span } = useWords();
  const again = useAgain();
  const tell = useTell();
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const taken = profile ? [] : profiles.map(({ name }) => name);
  const { settings, wrongs } = check(draft, taken);
  const changed = profile && changeOf(draft, profile);
  const wait = waitOf(draft, issuers);

  useEffect(() => {
    if (!open) return;
    setDraft(profile ? draftOf(profile) : EMPTY);
    setTried(false);
    setError(undefined);
  }, [open]);

  const refused = error instanceof ApiProblem ? error.problem : undefined;
  const wrong = (field: Field) => {
    const found = wrongs[field];
    if (tried && found) return t(found.text, found.values);
    return refused && fieldOf(refused.field) === field ? refused.detail : undefined;
  };
  const change = (part: Partial<Draft>) => {
    setDraft({ ...draft, ...part });
    setError(undefined);
  };
  const text = (field: Exclude<Field, "modes">) => ({
    value: draft[field],
    wrong: wrong(field),
    onChange: (event: { target: { value: string } }) => change({ [field]: event.target.value }),
    "data-testid": `profile-${field}`,
  });
  const toggle = (mode: (typeof MODES)[number], on: boolean) => change({ modes: on ? [...draft.modes, mode] : draft.modes.filter((one) => one !== mode) });

  async function save(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    setTried(true);
    if (!settings) return showWrong(form);
    setBusy(true);
    setError(undefined);
    try {
      if (profile) await send("PUT", `/admin/v1/profiles/${encodeURIComponent(profile.name)}`, settings);
      else await send("POST", "/admin/v1/profiles", { name: draft.name.trim(), settings });
      await again("/admin/v1/profiles", "/admin/v1/issuers", "/admin/v1/keys");
      tell(t(profile ? "profile.saved" : "profile.created", { name: draft.name.trim() }), t(changed === "kind" ? "profile.other_kind" : profile ? "profile.saved_detail" : "profile.created_detail"));
      onClose();
    } catch (refusal) {
      setError(refusal);
      showWrong(form);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog open={open} onClose={onClose} busy={busy} wide title={profile ? t("profile.edit_title", { name: profile.name }) : t("profile.create_title")} lead={profile ? t("profile.edit_lead") : t("profile.create_lead")}>
      <form className="form" onSubmit={(event) => void save(event)} noValidate>
        <div className="pair">
          <TextField label={t("profile.name")} hint={t("invite.name_hint")} {...text("name")} disabled={Boolean(profile)} mono />
          <Choice label={t("profile.issuer")} {...text("issuer")}>
            {issuers.map(({ name, issuer }) => (
              <option key={name} value={name}>
                {name ? `${name} (${issuer})` : issuer}
              </option>
            ))}
          </Choice>
        </div>
        <div className="pair">
          <Choice label={t("profile.algorithm")} {...text("algorithm")}>
            {ALGORITHMS.map((algorithm) => (
              <option key={algorithm} value={algorithm}>
                {algorithm}
              </option>
            ))}
          </Choice>
          {isRsa(draft.algorithm) && (
            <Choice label={t("profile.rsa_bits")} {...text("rsaBits")}>
              {RSA_BITS.map((bits) => (
                <option key={bits} value={bits}>
                  {bits}
                </option>
              ))}
            </Choice>
          )}
        </div>
        {changed === "bits" && (
          <Notice tone="warn">
            <p>{t("profile.other_bits")}</p>
          </Notice>
        )}
        {changed === "kind" && (
          <Notice tone="bad" title={t("profile.other_kind")}>
            {wait !== undefined && <p>{t("profile.other_kind_wait", { span: span(wait) })}</p>}
          </Notice>
        )}
        <TextArea label={t("policy.audiences")} hint={t("profile.audiences_hint")} rows={2} {...text("audiences")} />
        <div className="pair">
          <TextField label={t("policy.max_lifetime")} hint={t("profile.max_lifetime_hint")} placeholder="1h" {...text("maxLifetime")} />
          <TextField label={t("profile.default_lifetime")} hint={t("profile.default_lifetime_hint")} placeholder="10m" {...text("defaultLifetime")} />
        </div>
        <fieldset className="form choices">
          <legend>{t("profile.modes")}</legend>
          {wrong("modes") && (
            <p className="wrong" role="alert">
              {wrong("modes")}
            </p>
          )}
          <div className="checks">
            {MODES.map((mode) => (
              <CheckBox key={mode} label={mode} hint={word("mode_hint", mode)} checked={draft.modes.includes(mode)} onChange={(event) => toggle(mode, event.target.checked)} data-testid={`mode-${mode}`} />
            ))}
          </div>
        </fieldset>
        <div className="pair">
          <TextField label="typ" hint={t("profile.typ_hint")} placeholder="JWT" mono {...text("typ")} />
          <TextField label={t("profile.max_session")} hint={t("profile.max_session_hint")} {...text("maxSession")} />
        </div>
        <div className="pair">
          <TextField label={t("profile.rotate_after")} hint={t("profile.rotate_after_hint")} {...text("rotateAfter")} />
          <TextField label={t("profile.publish_ahead")} hint={t("profile.publish_ahead_hint")} {...text("publishAhead")} />
        </div>
        <Refusal error={error} />
        <div className="actions end">
          <Button onClick={onClose} disabled={busy}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" kind="primary" busy={busy} data-testid="confirm">
            {profile ? t("profile.save") : t("profile.create")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** The focus goes to the first field that is wrong, once the page says which. */
function showWrong(form: HTMLFormElement) {
  requestAnimationFrame(() => form.querySelector<HTMLElement>("[aria-invalid=true], .choices:has(.wrong) input")?.focus());
}
