// A key that was made elsewhere comes in by its component shares, each from another person. They are held in this page until
// they are sent, and nowhere else.
import { FileKey2 } from "lucide-react";
import { useEffect, useState, type ChangeEvent, type FormEvent } from "react";
import { useLocation } from "wouter";
import { useAgain } from "../api/queries";
import { send } from "../api/session";
import type { Key, Profile, Share } from "../api/types";
import { useWords } from "../i18n";
import { Badge, Button, Choice, Dialog, Marked, Notice, Refusal, TextArea, TextField } from "../kit";
import { useTell } from "../kit/toasts";

export function ImportKey({ open, onClose, profiles }: { open: boolean; onClose: () => void; profiles: Profile[] }) {
  const { t } = useWords();
  const again = useAgain();
  const tell = useTell();
  const [, go] = useLocation();
  const [profile, setProfile] = useState("");
  const [label, setLabel] = useState("");
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState<string>();
  const [shares, setShares] = useState<Share[]>([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const chosen = profiles.find(({ name }) => name === profile) ?? profiles[0];
  const wanted = shares[0]?.of;
  const complete = wanted !== undefined && shares.length === wanted;

  useEffect(() => {
    // Whether it opens or closes: no share outlives the dialog.
    setShares([]);
    setText("");
    setWrong(undefined);
    setError(undefined);
    setLabel("");
  }, [open]);

  function take(texts: string[]) {
    let taken = shares;
    for (const one of texts) {
      const share = shareIn(one);
      if (!share) return setWrong(t("import.no_share"));
      if (taken[0] && (taken[0].key !== share.key || taken[0].of !== share.of)) return setWrong(t("import.other_key"));
      taken = [...taken.filter(({ index }) => index !== share.index), share].sort((a, b) => a.index - b.index);
    }
    setWrong(undefined);
    setText("");
    setShares(taken);
  }

  async function read(event: ChangeEvent<HTMLInputElement>) {
    const texts = await Promise.all([...(event.target.files ?? [])].map((file) => file.text()));
    event.target.value = "";
    take(texts);
  }

  async function run(event: FormEvent) {
    event.preventDefault();
    if (!chosen || !complete) return;
    setBusy(true);
    setError(undefined);
    try {
      const key = await send<Key>("POST", "/admin/v1/keys:import", { profile: chosen.name, shares, ...(label && { label }) });
      await again("/admin/v1/keys");
      tell(t("import.done"));
      onClose();
      if (key.kid) go(`/keys/${encodeURIComponent(key.kid)}`);
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog open={open} onClose={onClose} busy={busy} title={t("import.title")} lead={<Marked text={t("import.lead")} />} wide>
      <form className="form" onSubmit={(event) => void run(event)}>
        <div className="pair">
          <Choice label={t("generate.profile")} value={chosen?.name ?? ""} onChange={(event) => setProfile(event.target.value)} required data-testid="profile">
            {profiles.map(({ name, algorithm }) => (
              <option key={name} value={name}>
                {name} ({algorithm})
              </option>
            ))}
          </Choice>
          <TextField label={t("generate.label")} value={label} onChange={(event) => setLabel(event.target.value)} maxLength={64} data-testid="label" />
        </div>
        <TextArea label={t("import.share")} hint={t("import.share_hint")} wrong={wrong} value={text} onChange={(event) => setText(event.target.value)} rows={3} data-testid="share" autoComplete="off" />
        <div className="actions">
          <Button icon={FileKey2} onClick={() => take([text])} disabled={!text.trim()} data-testid="add-share">
            {t("import.add")}
          </Button>
          <label className="button file">
            {t("import.files")}
            <input type="file" multiple accept=".json,application/json" onChange={(event) => void read(event)} className="visually-hidden" data-testid="share-files" />
          </label>
        </div>
        <div role="status">
          {shares.length > 0 && (
            <p>
              <Badge tone={complete ? "good" : "info"}>{t("import.have", { n: shares.length, of: wanted ?? 0 })}</Badge> <code>{shares[0]?.key.slice(0, 12)}</code>
            </p>
          )}
        </div>
        <Notice tone="warn" title={t("import.forever")}>
          <p>{t("import.forever_detail")}</p>
        </Notice>
        <p className="small muted">{t("common.passkey_will_be_asked")}</p>
        <Refusal error={error} />
        <div className="actions end">
          <Button onClick={onClose} disabled={busy}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" kind="primary" busy={busy} disabled={!complete} data-testid="confirm">
            {t("import.button")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function shareIn(text: string): Share | undefined {
  try {
    const share = JSON.parse(text) as Share;
    return share.edgeseal_share === 1 && Number.isInteger(share.index) && Number.isInteger(share.of) && typeof share.key === "string" ? share : undefined;
  } catch {
    return undefined;
  }
}
