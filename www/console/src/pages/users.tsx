import { Ellipsis, Plus } from "lucide-react";
import { useEffect, useState, type FormEvent } from "react";
import { useAgain, useAsksPasskey, useMay, useResource, useSession } from "../api/queries";
import { ROLES, send, type Role } from "../api/session";
import type { User } from "../api/types";
import { useWords } from "../i18n";
import { Badge, Button, Choice, CodeBlock, Confirm, Dialog, Loading, Menu, Notice, PageHead, Panel, Refusal, Table, TextField, type MenuEntry } from "../kit";
import { useNow } from "../kit/now";
import { useTell } from "../kit/toasts";

/** What can be done to a user, and how its texts begin. */
const STEMS = { disable: "disable", enable: "enable", "end-sessions": "end_sessions", "set-role": "set_role", invite: "reset" } as const;
type Act = keyof typeof STEMS;

export default function Users() {
  const { t, word, ago, number } = useWords();
  const may = useMay();
  const me = useSession()?.user?.name;
  const now = useNow(10);
  const users = useResource<{ users: User[] }>("/admin/v1/users", { every: 10 });
  const [inviting, setInviting] = useState(false);
  const [act, setAct] = useState<{ user: User; what: Act }>();
  const entries = (user: User): (MenuEntry | "line")[] => [
    { label: t("users.set_role"), run: () => setAct({ user, what: "set-role" }) },
    // Whoever is disabled could not use it.
    ...(user.disabled ? [] : [{ label: t("users.reset"), run: () => setAct({ user, what: "invite" }) }]),
    { label: t("users.end_sessions"), run: () => setAct({ user, what: "end-sessions" }) },
    "line",
    user.disabled ? { label: t("users.enable"), run: () => setAct({ user, what: "enable" }) } : { label: t("users.disable"), danger: true, run: () => setAct({ user, what: "disable" }) },
  ];
  return (
    <div className="page">
      <PageHead title={t("users.title")} lead={t("users.lead")}>
        {may("POST /admin/v1/users") && (
          <Button kind="primary" icon={Plus} onClick={() => setInviting(true)} data-testid="invite">
            {t("users.invite")}
          </Button>
        )}
      </PageHead>
      <Refusal error={users.error} retry={() => void users.refetch()} />
      {users.isPending && <Loading />}
      {users.data && users.data.users.filter(({ role, disabled, passkeys }) => role === "administrator" && !disabled && passkeys > 0).length < 2 && (
        <Notice tone="info" title={t("users.two_people")}>
          <p>{t("users.two_people_detail")}</p>
        </Notice>
      )}
      {users.data && (
        <Panel title={t("users.all")} note={number(users.data.users.length)} flush>
          <Table
            label={t("users.all")}
            rows={users.data.users}
            keyOf={({ name }) => name}
            rowTestId={({ name }) => `user-${name}`}
            columns={[
              {
                head: "users.user",
                cell: ({ name, display_name }) => (
                  <span>
                    <b>{display_name || name}</b> {display_name && display_name !== name && <span className="muted">{name}</span>} {name === me && <span className="muted">({t("users.you")})</span>}
                  </span>
                ),
              },
              { head: "users.role", cell: ({ role }) => word("role", role) },
              {
                head: "users.state",
                cell: (user) => (
                  <span className="stack-tight">
                    <UserBadge of={user} />
                    {user.second_person_from && user.role === "administrator" && <span className="small muted">{t("users.second_person_from", { when: ago(user.second_person_from, now) })}</span>}
                  </span>
                ),
              },
              { head: "users.passkeys", cell: ({ passkeys }) => number(passkeys) },
              { head: "users.last_login", cell: ({ last_login_at }) => ago(last_login_at, now) },
              {
                head: "users.acts",
                end: true,
                cell: (user) => may("POST /admin/v1/users") && <Menu trigger={<Button little kind="quiet" icon={Ellipsis} data-testid={`acts-${user.name}`} />} entries={entries(user)} label={t("users.acts_of", { name: user.name })} />,
              },
            ]}
          />
        </Panel>
      )}
      <Invite open={inviting} onClose={() => setInviting(false)} />
      {act && <UserAct {...act} onClose={() => setAct(undefined)} />}
    </div>
  );
}

function UserBadge({ of: { disabled, invited, passkeys } }: { of: User }) {
  const { t } = useWords();
  if (disabled) return <Badge tone="bad">{t("users.disabled")}</Badge>;
  if (passkeys > 0) return <Badge tone="good">{t("users.can_log_in")}</Badge>;
  return invited ? <Badge tone="info" hollow>{t("users.invited")}</Badge> : <Badge tone="warn">{t("users.code_expired")}</Badge>;
}

interface CodeOf {
  code: string;
  expires_at: string;
  name: string;
}

function Invite({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t, word } = useWords();
  const again = useAgain();
  const [name, setName] = useState("");
  const [display, setDisplay] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [done, setDone] = useState<CodeOf>();
  useEffect(() => {
    if (!open) return;
    setName("");
    setDisplay("");
    setRole("operator");
    setError(undefined);
    setDone(undefined);
  }, [open]);
  async function invite(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      setDone(await send<CodeOf>("POST", "/admin/v1/users", { name, role, ...(display && { display_name: display }) }));
      await again("/admin/v1/users");
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }
  if (done) return <CodeShown open={open} onClose={onClose} done={done} />;
  return (
    <Dialog open={open} onClose={onClose} busy={busy} title={t("users.invite_title")} lead={t("users.invite_lead")}>
      <form className="form" onSubmit={(event) => void invite(event)}>
        <TextField label={t("users.name")} hint={t("setup.name_hint")} value={name} onChange={(event) => setName(event.target.value)} required pattern="[a-z0-9][a-z0-9._\-]{0,63}" data-testid="name" />
        <TextField label={t("users.display_name")} value={display} onChange={(event) => setDisplay(event.target.value)} maxLength={64} />
        <Choice label={t("users.role")} hint={word("role_hint", role)} value={role} onChange={(event) => setRole(event.target.value as Role)} data-testid="role">
          {ROLES.map((one) => (
            <option key={one} value={one}>
              {word("role", one)}
            </option>
          ))}
        </Choice>
        <p className="small muted">{t("common.passkey_will_be_asked")}</p>
        <Refusal error={error} />
        <div className="actions end">
          <Button onClick={onClose} disabled={busy}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" kind="primary" busy={busy} data-testid="confirm">
            {t("users.invite")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function CodeShown({ open, onClose, done }: { open: boolean; onClose: () => void; done: CodeOf }) {
  const { t, date } = useWords();
  const origin = useSession()?.origin ?? "";
  return (
    <Dialog open={open} onClose={onClose} title={t("users.code_title", { name: done.name })} lead={t("users.code_lead", { url: `${origin}/invitation`, when: date(done.expires_at) })}>
      <div className="form">
        <CodeBlock text={done.code} label={t("setup.code")} testId="user-code" />
        <div className="actions end">
          <Button kind="primary" onClick={onClose} data-testid="done">
            {t("common.done")}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function UserAct({ user, what, onClose }: { user: User; what: Act; onClose: () => void }) {
  const { t, word } = useWords();
  const again = useAgain();
  const tell = useTell();
  const asksPasskey = useAsksPasskey();
  const [role, setRole] = useState<Role>(user.role as Role);
  const [code, setCode] = useState<CodeOf>();
  const stem = STEMS[what];
  const run = async () => {
    const done = await send<User | CodeOf>("POST", `/admin/v1/users/${encodeURIComponent(user.name)}:${what}`, what === "set-role" ? { role } : undefined);
    // The code is not shown again: whatever becomes of the list, it is seen.
    if (what === "invite") setCode(done as CodeOf);
    await again("/admin/v1/users");
    if (what !== "invite") tell(t(`users.${stem}_done`, { name: user.name }));
  };
  if (code) return <CodeShown open onClose={onClose} done={code} />;
  return (
    <Confirm
      open
      onClose={what === "invite" ? () => undefined : onClose}
      {...(what === "invite" && { onCancel: onClose })}
      danger={what === "disable" || what === "invite"}
      passkey={asksPasskey(`POST /admin/v1/users/{user}:${what}`)}
      title={t(`users.${stem}_title`, { name: user.name })}
      will={[
        t(`users.${stem}_will`),
        ...(what === "disable" ? [t("users.disable_will_audit")] : []),
        ...(what === "set-role" ? [t("users.set_role_will_sessions"), t("users.set_role_will_wait")] : []),
      ]}
      confirm={t(`users.${stem}_button`)}
      disabled={what === "set-role" && role === user.role}
      run={run}
    >
      {what === "set-role" && (
        <Choice label={t("users.role")} hint={word("role_hint", role)} value={role} onChange={(event) => setRole(event.target.value as Role)} data-testid="role">
          {ROLES.map((one) => (
            <option key={one} value={one}>
              {word("role", one)}
            </option>
          ))}
        </Choice>
      )}
    </Confirm>
  );
}
