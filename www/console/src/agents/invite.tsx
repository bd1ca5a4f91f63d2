// A one-time code for an agent, and the command that uses it.
import { useEffect, useState, type FormEvent } from "react";
import { useAgain } from "../api/queries";
import { send } from "../api/session";
import type { Agent, AgentInvitation, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Button, CodeBlock, Dialog, Notice, Refusal, TextField } from "../kit";
import { PolicyFields } from "./editor";
import { check, EMPTY, type Draft } from "./policy";

export function InviteAgent({ open, onClose, profiles, agent }: { open: boolean; onClose: () => void; profiles: Profile[]; agent?: Agent }) {
  const { t, ago } = useWords();
  const again = useAgain();
  const [name, setName] = useState("");
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [created, setCreated] = useState(false);
  const [invited, setInvited] = useState<AgentInvitation>();
  const { policy, wrongs } = check(draft, profiles);

  useEffect(() => {
    if (!open) return;
    setName(agent?.name ?? "");
    setDraft({ ...EMPTY, profiles: profiles.length === 1 && profiles[0] ? [profiles[0].name] : [] });
    setTried(false);
    setError(undefined);
    setInvited(undefined);
    setCreated(false);
  }, [open]);

  async function invite(event: FormEvent) {
    event.preventDefault();
    setTried(true);
    if (!agent && !policy) return;
    setBusy(true);
    setError(undefined);
    try {
      // An agent that was created before its code failed is there already: it gets what the form says now, and a code.
      if (!agent && !created) {
        await send("POST", "/admin/v1/agents", { name, policy });
        setCreated(true);
      } else if (!agent) {
        await send("PUT", `/admin/v1/agents/${encodeURIComponent(name)}`, policy);
      }
      setInvited(await send<AgentInvitation>("POST", `/admin/v1/agents/${encodeURIComponent(name)}:enrol`));
      await again("/admin/v1/agents");
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }

  if (invited) {
    return (
      <Dialog open={open} onClose={onClose} wide title={t("invite.ready", { name })} lead={t("invite.ready_lead", { when: ago(invited.expires_at) })}>
        <div className="form">
          <div className="field">
            <span className="label">{t("invite.code")}</span>
            <CodeBlock text={invited.code} label={t("invite.code")} testId="agent-code" />
          </div>
          <div className="field">
            <span className="label">{t("invite.command")}</span>
            <CodeBlock text={invited.command} label={t("invite.command")} testId="agent-command" />
            <span className="hint">{t("invite.command_hint")}</span>
          </div>
          <Notice tone="info">
            <p>{t("invite.once")}</p>
          </Notice>
          <div className="actions end">
            <Button kind="primary" onClick={onClose} data-testid="done">
              {t("common.done")}
            </Button>
          </div>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog open={open} onClose={onClose} busy={busy} wide title={agent ? t("invite.again", { name: agent.name }) : t("invite.title")} lead={agent ? t("invite.again_lead") : t("invite.lead")}>
      <form className="form" onSubmit={(event) => void invite(event)} noValidate={false}>
        {!agent && (
          <>
            <TextField label={t("invite.name")} hint={t("invite.name_hint")} value={name} onChange={(event) => setName(event.target.value)} required readOnly={created} pattern="[a-z0-9_.\-]{1,64}" data-testid="agent-name" />
            <PolicyFields draft={draft} onChange={setDraft} wrongs={tried ? wrongs : {}} profiles={profiles} />
          </>
        )}
        <Refusal error={error} />
        <div className="actions end">
          <Button onClick={onClose} disabled={busy}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" kind="primary" busy={busy} data-testid="confirm">
            {t("invite.button")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
