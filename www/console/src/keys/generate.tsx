import { useEffect, useState, type FormEvent } from "react";
import { useLocation } from "wouter";
import { useAgain } from "../api/queries";
import { send } from "../api/session";
import type { Key, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Button, Choice, Dialog, Notice, Refusal, TextField } from "../kit";
import { useTell } from "../kit/toasts";

export function Generate({ open, onClose, profiles }: { open: boolean; onClose: () => void; profiles: Profile[] }) {
  const { t, date } = useWords();
  const again = useAgain();
  const tell = useTell();
  const [, go] = useLocation();
  const [profile, setProfile] = useState("");
  const [label, setLabel] = useState("");
  const [busy, setBusy] = useState(false);
  const [seconds, setSeconds] = useState(0);
  const [error, setError] = useState<unknown>();
  const chosen = profiles.find(({ name }) => name === profile) ?? profiles[0];

  useEffect(() => {
    if (open) {
      setError(undefined);
      setLabel("");
    }
  }, [open]);
  // RSA keys take their time: what is shown is how long it has taken so far.
  useEffect(() => {
    if (!busy) return;
    setSeconds(0);
    const timer = setInterval(() => setSeconds((before) => before + 1), 1_000);
    return () => clearInterval(timer);
  }, [busy]);

  async function generate(event: FormEvent) {
    event.preventDefault();
    if (!chosen) return;
    setBusy(true);
    setError(undefined);
    try {
      const key = await send<Key>("POST", "/admin/v1/keys", { profile: chosen.name, ...(label && { label }) });
      await again("/admin/v1/keys");
      tell(t("generate.done", { alg: key.key }), key.can_sign_from ? t("generate.done_from", { when: date(key.can_sign_from) }) : undefined);
      onClose();
      if (key.kid) go(`/keys/${encodeURIComponent(key.kid)}`);
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog open={open} onClose={onClose} busy={busy} title={t("generate.title")} lead={t("generate.lead")}>
      <form className="form" onSubmit={(event) => void generate(event)}>
        <Choice label={t("generate.profile")} value={chosen?.name ?? ""} onChange={(event) => setProfile(event.target.value)} required data-testid="profile">
          {profiles.map(({ name, algorithm }) => (
            <option key={name} value={name}>
              {name} ({algorithm})
            </option>
          ))}
        </Choice>
        {chosen && (
          <Notice tone="info" title={t("generate.what", { alg: chosen.algorithm })}>
            <p className="small">{t("generate.follows")}</p>
          </Notice>
        )}
        <TextField label={t("generate.label")} hint={t("generate.label_hint")} value={label} onChange={(event) => setLabel(event.target.value)} maxLength={64} data-testid="label" />
        <Refusal error={error} />
        {busy && (
          <p role="status" className="small muted">
            {t("generate.working", { n: seconds })}
          </p>
        )}
        <div className="actions end">
          <Button onClick={onClose} disabled={busy}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" kind="primary" busy={busy} data-testid="confirm">
            {t("generate.button")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
