import { Fingerprint, KeyRound } from "lucide-react";
import { useEffect, useState } from "react";
import { useAgain, useResource, useSession } from "../api/queries";
import { enter, register, send, session } from "../api/session";
import { useWords } from "../i18n";
import { Badge, Button, Confirm, Dialog, Facts, Loading, Marked, Notice, PageHead, Panel, Refusal, Table, TextField, type Column } from "../kit";
import { useNow } from "../kit/now";
import { useTell } from "../kit/toasts";
import { RecoveryCodes } from "./doors";

interface Passkey {
  id: string;
  label: string;
  created_at: string;
  last_used_at: string | null;
  backed_up: boolean;
}

interface OneSession {
  session: string;
  current: boolean;
  via: string;
  created_at: string;
  seen_at: string;
  expires_at: string;
  address: string;
  user_agent: string;
}

export default function Account() {
  const { t, word } = useWords();
  const current = useSession();
  return (
    <div className="page">
      <PageHead title={t("account.title")} lead={current?.user && `${current.user.name}, ${word("role", current.user.role)}`} />
      {/* It has no session, and the signer shows and changes these for a session alone. */}
      {current?.via === "certificate" ? (
        <Notice tone="info" title={t("account.by_certificate")}>
          <p>
            <Marked text={t("account.by_certificate_detail")} />
          </p>
        </Notice>
      ) : (
        <Own />
      )}
    </div>
  );
}

function Own() {
  const { t, ago, date, number } = useWords();
  const now = useNow(10);
  const current = useSession();
  const again = useAgain();
  const tell = useTell();
  const passkeys = useResource<{ passkeys: Passkey[] }>("/console/v1/passkeys");
  const sessions = useResource<{ sessions: OneSession[] }>("/console/v1/sessions", { every: 15 });
  const [adding, setAdding] = useState(false);
  const [label, setLabel] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [removing, setRemoving] = useState<Passkey>();
  const [ending, setEnding] = useState<OneSession>();
  const [renewing, setRenewing] = useState(false);
  const [codes, setCodes] = useState<string[]>();

  useEffect(() => {
    if (!adding) return;
    setLabel("");
    setError(undefined);
  }, [adding]);

  /** Until then the session that the new passkey began waits: it would take the codes away. */
  const keepCodes = () => {
    setCodes(undefined);
    enter();
  };

  async function add() {
    setBusy(true);
    setError(undefined);
    try {
      const fresh = await register({ label });
      if (fresh) setCodes(fresh);
      await again("/console/v1/passkeys");
      setAdding(false);
      tell(t("account.passkey_added"));
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }

  return (
    <>
      <Panel
        title={t("account.passkeys")}
        aside={
          <Button little icon={Fingerprint} onClick={() => setAdding(true)} data-testid="add-passkey">
            {t("account.add_passkey")}
          </Button>
        }
        flush
      >
        {passkeys.isPending ? <Loading /> : null}
        <Refusal error={passkeys.error} retry={() => void passkeys.refetch()} />
        {passkeys.data && (
          <Table
            label={t("account.passkeys")}
            rows={passkeys.data.passkeys}
            keyOf={({ id }) => id}
            columns={[
              { head: "account.label", cell: ({ label }) => <b>{label || t("account.unnamed")}</b> },
              { head: "keys.created", cell: ({ created_at }) => date(created_at) },
              { head: "account.last_used", cell: ({ last_used_at }) => (last_used_at ? ago(last_used_at, now) : t("account.never_used")) },
              { head: "account.kept", cell: ({ backed_up }) => (backed_up ? t("account.synced") : t("account.one_device")) },
              // The last one cannot be removed.
              ...(passkeys.data.passkeys.length > 1
                ? [
                    {
                      head: "users.acts",
                      end: true,
                      cell: (passkey) => (
                        <Button little kind="danger" onClick={() => setRemoving(passkey)}>
                          {t("account.remove")}
                        </Button>
                      ),
                    } satisfies Column<Passkey>,
                  ]
                : []),
            ]}
          />
        )}
      </Panel>
      <div className="columns">
        <Panel title={t("account.sessions")} flush>
          <Refusal error={sessions.error} retry={() => void sessions.refetch()} />
          {sessions.data && (
            <Table
              label={t("account.sessions")}
              rows={sessions.data.sessions}
              keyOf={({ session }) => session}
              columns={[
                { head: "account.where", cell: ({ address, current }) => <span>{address} {current && <Badge tone="good">{t("account.this_one")}</Badge>}</span> },
                { head: "account.browser", cell: ({ user_agent }) => <span className="small muted">{browserOf(user_agent)}</span> },
                { head: "account.seen", cell: ({ seen_at }) => ago(seen_at, now) },
                ...(sessions.data.sessions.some(({ current }) => !current)
                  ? [
                      {
                        head: "users.acts",
                        end: true,
                        cell: (one) =>
                          !one.current && (
                            <Button little onClick={() => setEnding(one)}>
                              {t("account.end")}
                            </Button>
                          ),
                      } satisfies Column<OneSession>,
                    ]
                  : []),
              ]}
            />
          )}
        </Panel>
        <Panel title={t("account.recovery")}>
          <Facts
            look="wide"
            rows={[
              [t("account.codes_left"), number(current?.recovery_codes_left ?? 0)],
              [t("account.session_ends"), date(current?.expires_at)],
            ]}
          />
          <div className="actions">
            <Button icon={KeyRound} onClick={() => setRenewing(true)} data-testid="new-codes">
              {t("account.new_codes")}
            </Button>
          </div>
        </Panel>
      </div>
      <Dialog open={adding} onClose={() => setAdding(false)} busy={busy} title={t("account.add_passkey")} lead={t("account.add_lead")}>
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            void add();
          }}
        >
          <TextField label={t("setup.label")} hint={t("setup.label_hint")} value={label} onChange={(event) => setLabel(event.target.value)} maxLength={64} />
          <Refusal error={error} />
          <div className="actions end">
            <Button onClick={() => setAdding(false)} disabled={busy}>
              {t("common.cancel")}
            </Button>
            <Button type="submit" kind="primary" icon={Fingerprint} busy={busy} data-testid="confirm">
              {t("setup.make")}
            </Button>
          </div>
        </form>
      </Dialog>
      <Confirm
        open={removing !== undefined}
        onClose={() => setRemoving(undefined)}
        danger
        passkey
        title={t("account.remove_title", { label: removing?.label || t("account.unnamed") })}
        will={[t("account.remove_will")]}
        confirm={t("account.remove")}
        run={async () => {
          await send("DELETE", `/console/v1/passkeys/${encodeURIComponent(removing?.id ?? "")}`);
          await again("/console/v1/passkeys");
        }}
      />
      <Confirm
        open={ending !== undefined}
        onClose={() => setEnding(undefined)}
        title={t("account.end_title")}
        will={[t("account.end_will")]}
        confirm={t("account.end")}
        run={async () => {
          await send("DELETE", `/console/v1/sessions/${encodeURIComponent(ending?.session ?? "")}`);
          await again("/console/v1/sessions");
        }}
      />
      <Confirm
        open={renewing}
        onClose={() => setRenewing(false)}
        danger
        passkey
        title={t("account.new_codes")}
        will={[t("account.new_codes_will")]}
        confirm={t("account.new_codes")}
        run={async () => {
          const { recovery_codes } = await send<{ recovery_codes: string[] }>("POST", "/console/v1/recovery-codes");
          setCodes(recovery_codes);
          await session.refresh();
        }}
      />
      <Dialog open={codes !== undefined} onClose={keepCodes} title={t("codes.title")} lead={t("codes.lead")}>
        <div className="form">
          <RecoveryCodes codes={codes ?? []} />
          <div className="actions end">
            <Button kind="primary" onClick={keepCodes} data-testid="codes-kept">
              {t("codes.kept")}
            </Button>
          </div>
        </div>
      </Dialog>
    </>
  );
}

/** The one word of a User-Agent that people know. */
function browserOf(agent: string): string {
  return /(?:Edg|OPR|Firefox|HeadlessChrome|Chrome|Safari)\/[\d]+/.exec(agent)?.[0].replace("/", " ") ?? agent.slice(0, 40);
}
