// Before there is a session: set-up, an invitation, login, a recovery code, and the first passkey.
import { Fingerprint, KeyRound } from "lucide-react";
import { useEffect, useState, type FormEvent, type ReactNode } from "react";
import { useLocation } from "wouter";
import { useSession } from "../api/queries";
import { enter, login, logout, recover, register, send, session } from "../api/session";
import { LANGUAGES, useWords, type Language } from "../i18n";
import { Brand } from "../frame";
import { Button, CopyButton, Marked, Notice, Refusal, TextField } from "../kit";

type Door = "login" | "code" | "recovery";

export default function Doors() {
  const current = useSession();
  const [location] = useLocation();
  const [door, setDoor] = useState<Door>(current?.setup_required || location.startsWith("/setup") || location.startsWith("/invitation") ? "code" : "login");
  const [codes, setCodes] = useState<string[]>();
  if (codes) return <Codes codes={codes} />;
  if (current?.passkey_required) return <NewPasskey onCodes={setCodes} />;
  if (door === "code") return <WithCode setup={current?.setup_required ?? false} onCodes={setCodes} goTo={setDoor} />;
  if (door === "recovery") return <Recovery goTo={setDoor} />;
  return <Login goTo={setDoor} />;
}

function Login({ goTo }: { goTo: (door: Door) => void }) {
  const { t } = useWords();
  const { busy, error, run } = useWork();
  return (
    <Card title={t("login.title")} lead={t("login.lead")}>
      <Refusal error={error} />
      <Button kind="primary" icon={Fingerprint} busy={busy} onClick={() => void run(login)} data-testid="login">
        {t("login.button")}
      </Button>
      <p className="other">
        <button type="button" className="link" onClick={() => goTo("recovery")}>
          {t("login.lost")}
        </button>
        <button type="button" className="link" onClick={() => goTo("code")}>
          {t("login.have_code")}
        </button>
      </p>
    </Card>
  );
}

interface Invitation {
  kind: "setup" | "invitation" | "reset";
  name: string | null;
  display_name: string | null;
  role: string;
  expires_at: string;
}

function WithCode({ setup, onCodes, goTo }: { setup: boolean; onCodes: (codes: string[]) => void; goTo: (door: Door) => void }) {
  const { t, word, ago } = useWords();
  const [code, setCode] = useState("");
  const [invitation, setInvitation] = useState<Invitation>();
  const [name, setName] = useState("");
  const [label, setLabel] = useState("");
  const { busy, error, run } = useWork();

  const check = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const found = await send<Invitation>("POST", "/console/v1/setup", { code });
      setInvitation(found);
      setName(found.name ?? "");
    });
  };
  const make = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const who = invitation?.kind === "setup" ? { code, name, display_name: name } : { code };
      const codes = await register({ ...who, label });
      if (codes) onCodes(codes);
      else enter();
    });
  };

  if (!invitation) {
    return (
      <Card title={setup ? t("setup.title") : t("invitation.title")} lead={setup ? t("setup.lead") : t("invitation.lead")}>
        <form className="form" onSubmit={check}>
          <TextField label={t("setup.code")} hint={setup ? <Marked text={t("setup.code_hint")} /> : undefined} mono value={code} onChange={(event) => setCode(event.target.value)} required autoFocus data-testid="code" placeholder="XXXXX-XXXXX-XXXXX-…" />
          <Refusal error={error} />
          <Button type="submit" kind="primary" icon={KeyRound} busy={busy} data-testid="check-code">
            {t("setup.check")}
          </Button>
        </form>
        {!setup && (
          <p className="other">
            <button type="button" className="link" onClick={() => goTo("login")}>
              {t("login.back")}
            </button>
          </p>
        )}
      </Card>
    );
  }
  return (
    <Card title={t("setup.passkey_title")} lead={t("setup.passkey_lead")}>
      <form className="form" onSubmit={make}>
        {invitation.kind === "reset" && <Notice tone="warn" title={t("setup.reset")} />}
        <TextField
          label={t("setup.name")}
          hint={invitation.kind === "setup" ? t("setup.name_hint") : t("setup.role_until", { role: word("role", invitation.role), when: ago(invitation.expires_at) })}
          value={name}
          onChange={(event) => setName(event.target.value)}
          readOnly={invitation.kind !== "setup"}
          required
          pattern="[a-z0-9][a-z0-9._\-]{0,63}"
          autoFocus
          data-testid="name"
        />
        <TextField label={t("setup.label")} hint={t("setup.label_hint")} value={label} onChange={(event) => setLabel(event.target.value)} maxLength={64} />
        <Refusal error={error} />
        <Button type="submit" kind="primary" icon={Fingerprint} busy={busy} data-testid="make-passkey">
          {t("setup.make")}
        </Button>
      </form>
    </Card>
  );
}

function NewPasskey({ onCodes }: { onCodes: (codes: string[]) => void }) {
  const { t } = useWords();
  const { busy, error, run } = useWork();
  const make = () =>
    run(async () => {
      const codes = await register({});
      if (codes) onCodes(codes);
      else enter();
    });
  return (
    <Card title={t("recovery.passkey_title")} lead={t("recovery.passkey_lead")}>
      <Refusal error={error} />
      <Button kind="primary" icon={Fingerprint} busy={busy} onClick={() => void make()} data-testid="make-passkey">
        {t("setup.make")}
      </Button>
      <p className="other">
        <button type="button" className="link" onClick={() => void run(logout)}>
          {t("account.logout")}
        </button>
      </p>
    </Card>
  );
}

function Recovery({ goTo }: { goTo: (door: Door) => void }) {
  const { t } = useWords();
  const [name, setName] = useState("");
  const [code, setCode] = useState("");
  const { busy, error, run } = useWork();
  const go = (event: FormEvent) => {
    event.preventDefault();
    void run(() => recover(name, code));
  };
  return (
    <Card title={t("recovery.title")} lead={t("recovery.lead")}>
      <form className="form" onSubmit={go}>
        <TextField label={t("setup.name")} value={name} onChange={(event) => setName(event.target.value)} required autoFocus autoComplete="username" data-testid="name" />
        <TextField label={t("recovery.code")} mono value={code} onChange={(event) => setCode(event.target.value)} required placeholder="XXXXX-XXXXX" data-testid="code" />
        <Refusal error={error} />
        <Button type="submit" kind="primary" busy={busy} data-testid="recover">
          {t("recovery.button")}
        </Button>
      </form>
      <p className="other">
        <button type="button" className="link" onClick={() => goTo("login")}>
          {t("login.back")}
        </button>
      </p>
    </Card>
  );
}

function Codes({ codes }: { codes: string[] }) {
  const { t } = useWords();
  return (
    <Card title={t("codes.title")} lead={t("codes.lead")}>
      <RecoveryCodes codes={codes} />
      <Button kind="primary" onClick={enter} data-testid="codes-kept">
        {t("codes.kept")}
      </Button>
    </Card>
  );
}

export function RecoveryCodes({ codes }: { codes: string[] }) {
  const { t } = useWords();
  return (
    <>
      <ul className="recovery-codes" data-testid="recovery-codes">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ul>
      <p className="small muted">
        {t("codes.shown_once")} <CopyButton text={codes.join("\n")} label={t("codes.copy")} />
      </p>
    </>
  );
}

function Card({ title, lead, children }: { title: string; lead: ReactNode; children: ReactNode }) {
  const { language, choose, t } = useWords();
  const current = useSession();
  useEffect(() => {
    document.title = `${title} · Edgeseal`;
  }, [title]);
  return (
    <div className="door">
      <header>
        <Brand />
        <select className="input language" aria-label={t("account.language")} value={language} onChange={(event) => choose(event.target.value as Language)}>
          {Object.entries(LANGUAGES).map(([code, label]) => (
            <option key={code} value={code}>
              {label}
            </option>
          ))}
        </select>
      </header>
      <main>
        <div className="card">
          <div>
            <h1>{title}</h1>
            <p className="lead">{lead}</p>
          </div>
          {children}
        </div>
      </main>
      <footer>
        <span>{current?.origin}</span>
        <span>{current?.version}</span>
      </footer>
    </div>
  );
}

/** One thing at a time, with its refusal. */
function useWork() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  async function run(work: () => Promise<unknown>) {
    setBusy(true);
    setError(undefined);
    try {
      await work();
    } catch (refused) {
      setError(refused);
      // A ceremony that failed is over, and so may be the session's state.
      await session.refresh().catch(() => undefined);
    } finally {
      setBusy(false);
    }
  }
  return { busy, error, run };
}
