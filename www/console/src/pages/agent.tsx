import { ArrowLeft } from "lucide-react";
import { useEffect, useRef, useState, type FormEvent } from "react";
import { Link, useLocation } from "wouter";
import { AgentBadge } from "../agents/badge";
import { PolicyFields } from "../agents/editor";
import { InviteAgent } from "../agents/invite";
import { check, draftOf, type Draft } from "../agents/policy";
import { useAgain, useAsksPasskey, useMay, useResource } from "../api/queries";
import { send } from "../api/session";
import type { Agent, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Badge, Button, Chips, Confirm, Empty, Facts, Loading, Notice, PageHead, Panel, Refusal, Short, Table } from "../kit";
import { useNow } from "../kit/now";
import { useTell } from "../kit/toasts";

export default function AgentPage({ name }: { name: string }) {
  const { t, date, span, word, number } = useWords();
  const may = useMay();
  const asksPasskey = useAsksPasskey();
  const now = useNow(10);
  const again = useAgain();
  const tell = useTell();
  const agent = useResource<Agent>(`/admin/v1/agents/${encodeURIComponent(name)}`, { every: 5 });
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles");
  const [open, setOpen] = useState<"revoke" | "delete" | "invite">();
  const [, go] = useLocation();
  const close = () => setOpen(undefined);
  const revoke = async () => {
    await send("POST", `/admin/v1/agents/${encodeURIComponent(name)}:revoke`);
    await again("/admin/v1/agents");
    tell(t("agent.revoked", { name }));
  };
  const remove = async () => {
    await send("DELETE", `/admin/v1/agents/${encodeURIComponent(name)}`);
    await again("/admin/v1/agents");
    tell(t("agent.deleted", { name }));
    go("/agents");
  };
  const back = (
    <Link href="/agents" className="crumb">
      <ArrowLeft aria-hidden />
      {t("nav.agents")}
    </Link>
  );
  if (agent.isPending) {
    return (
      <div className="page">
        {back}
        <PageHead title={name} />
        <Loading />
      </div>
    );
  }
  if (!agent.data) {
    return (
      <div className="page">
        {back}
        <PageHead title={name} />
        <Refusal error={agent.error} retry={() => void agent.refetch()} />
      </div>
    );
  }
  const { policy, origin, revoked_at: revokedAt, read_only: readOnly, certificates, invited_until: invitedUntil, must_enrol: mustEnrol } = agent.data;
  // A retired one is shown to be taken out.
  const offered = (profiles.data?.profiles ?? []).filter((profile) => !profile.retired_at || policy?.profiles.includes(profile.name));
  const editable = !readOnly && may("PUT /admin/v1/agents/{agent}");
  return (
    <div className="page">
      {back}
      <PageHead
        title={name}
        lead={
          <span className="key-head">
            <AgentBadge of={agent.data} now={now} />
            <span>{word("agent_origin", origin)}</span>
            {invitedUntil && !revokedAt && <span>{t("agent.invited_until", { when: date(invitedUntil) })}</span>}
            {revokedAt && <span>{t("agent.since", { when: date(revokedAt) })}</span>}
          </span>
        }
      >
        {may("POST /admin/v1/agents/{agent}:enrol") && (
          <Button onClick={() => setOpen("invite")} data-testid="invite-again">
            {t("agent.invite")}
          </Button>
        )}
        {!revokedAt && may("POST /admin/v1/agents/{agent}:revoke") && (
          <Button kind="danger" onClick={() => setOpen("revoke")} data-testid="revoke">
            {t("agent.revoke")}
          </Button>
        )}
        {revokedAt && !readOnly && may("DELETE /admin/v1/agents/{agent}") && (
          <Button kind="danger" onClick={() => setOpen("delete")} data-testid="delete">
            {t("agent.delete")}
          </Button>
        )}
      </PageHead>
      <Refusal error={agent.error ?? profiles.error} retry={() => void Promise.all([agent.refetch(), profiles.refetch()])} />
      {mustEnrol && !revokedAt && (
        <Notice tone="warn">
          <p>{t("agent.must_enrol")}</p>
        </Notice>
      )}
      <div className="columns">
        <Panel title={t("agent.policy")} note={readOnly ? t("agent.policy_configured") : undefined}>
          {editable ? (
            <Editor name={name} agent={agent.data} profiles={offered} />
          ) : (
            <Facts
              rows={[
                [t("policy.profiles"), <Chips key="profiles" items={policy?.profiles} />],
                [t("policy.audiences"), <Chips key="audiences" items={policy?.audiences} none={t("policy.those_of_profiles")} />],
                [t("policy.max_lifetime"), policy?.max_lifetime ? span(policy.max_lifetime) : <span key="lifetime" className="muted">{t("policy.those_of_profiles")}</span>],
                [t("policy.required"), <Chips key="required" items={policy?.required_claims} />],
                [t("policy.forbidden"), <Chips key="forbidden" items={policy?.forbidden_claims} />],
                [t("policy.rate"), policy?.rate ? number(policy.rate) : t("policy.no_limit")],
              ]}
            />
          )}
        </Panel>
        <Panel title={t("agent.certificates")} note={certificates.length ? t("agent.certificates_note") : undefined} flush>
          {certificates.length ? (
            <Table
              label={t("agent.certificates")}
              rows={certificates}
              keyOf={({ fingerprint }) => fingerprint}
              columns={[
                { head: "agent.fingerprint", cell: ({ fingerprint }) => <Short text={fingerprint} head={8} tail={6} /> },
                { head: "agent.valid_until", cell: ({ not_after }) => date(not_after) },
                {
                  head: "agents.state",
                  cell: ({ revoked_at, not_after }) =>
                    revoked_at ? <Badge tone="bad">{t("agents.revoked")}</Badge> : Date.parse(not_after) < now ? <Badge>{t("agents.expired")}</Badge> : <Badge tone="good">{t("agent.valid")}</Badge>,
                },
              ]}
            />
          ) : revokedAt ? (
            <Empty title={t("agent.shut_out")}>{t("agent.revoke_back")}</Empty>
          ) : origin === "configuration" && !mustEnrol ? (
            <Empty title={t("agent.other_authority")}>{t("agent.own_authority")}</Empty>
          ) : (
            <Empty title={t("agent.no_certificate")}>{t("agent.not_enrolled")}</Empty>
          )}
        </Panel>
      </div>
      <Confirm
        open={open === "revoke"}
        onClose={close}
        danger
        title={t("agent.revoke_title", { name })}
        will={[t("agent.revoke_at_once"), t("agent.revoke_certificates"), t("agent.revoke_tokens"), t("agent.revoke_back")]}
        confirm={t("agent.revoke")}
        run={revoke}
      />
      <Confirm
        open={open === "delete"}
        onClose={close}
        danger
        passkey={asksPasskey("DELETE /admin/v1/agents/{agent}")}
        title={t("agent.delete_title", { name })}
        will={[t("agent.delete_name"), t("agent.delete_certificates"), t("agent.delete_needs")]}
        confirm={t("agent.delete")}
        run={remove}
      />
      <InviteAgent open={open === "invite"} onClose={close} profiles={offered} agent={agent.data} />
    </div>
  );
}

function Editor({ name, agent, profiles }: { name: string; agent: Agent; profiles: Profile[] }) {
  const { t } = useWords();
  const again = useAgain();
  const tell = useTell();
  const saved = JSON.stringify(draftOf(agent.policy));
  const [draft, setDraft] = useState<Draft>(() => draftOf(agent.policy));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const { policy, wrongs } = check(draft, profiles);
  const changed = JSON.stringify(draft) !== saved;
  // Somebody else's change shows, unless there is one of one's own to lose.
  const before = useRef(saved);
  const [overtaken, setOvertaken] = useState(false);
  useEffect(() => {
    if (saved === before.current) return;
    const untouched = JSON.stringify(draft) === before.current;
    if (untouched) setDraft(draftOf(agent.policy));
    setOvertaken(!untouched && changed);
    before.current = saved;
  }, [saved]);
  const undo = () => {
    setDraft(draftOf(agent.policy));
    setOvertaken(false);
  };
  async function save(event: FormEvent) {
    event.preventDefault();
    if (!policy) return;
    setBusy(true);
    setError(undefined);
    try {
      const { policy: kept } = await send<Agent>("PUT", `/admin/v1/agents/${encodeURIComponent(name)}`, policy);
      // As the signer has it now: `600` was kept as 10m. What was typed meanwhile stays.
      setDraft((now) => (now === draft ? draftOf(kept) : now));
      // One's own change is nobody else's when the list brings it, whatever was typed until then.
      before.current = JSON.stringify(draftOf(kept));
      setOvertaken(false);
      await again("/admin/v1/agents");
      tell(t("policy.saved"), t("policy.saved_detail"));
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  }
  return (
    <form className="form" onSubmit={(event) => void save(event)}>
      {overtaken && (
        <Notice tone="warn" title={t("policy.overtaken")}>
          <p>{t("policy.overtaken_detail")}</p>
        </Notice>
      )}
      <PolicyFields draft={draft} onChange={setDraft} wrongs={wrongs} profiles={profiles} />
      <Refusal error={error} />
      <div className="actions end">
        <Button onClick={undo} disabled={!changed}>
          {t("policy.undo")}
        </Button>
        <Button type="submit" kind="primary" busy={busy} disabled={!changed || !policy} data-testid="save-policy">
          {t("policy.save")}
        </Button>
      </div>
    </form>
  );
}
