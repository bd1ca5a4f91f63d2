import { Network, Plus } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useMay, useResource } from "../api/queries";
import { inUse, type Agent, type Profile } from "../api/types";
import { AgentBadge, endOf } from "../agents/badge";
import { InviteAgent } from "../agents/invite";
import { useWords, type Key as Text } from "../i18n";
import { Button, Chips, Empty, Loading, PageHead, Panel, Refusal, Table } from "../kit";
import { useNow } from "../kit/now";

export default function Agents() {
  const { t, word, ago, number } = useWords();
  const may = useMay();
  const now = useNow(10);
  const agents = useResource<{ agents: Agent[] }>("/admin/v1/agents", { every: 5 });
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles");
  const [open, setOpen] = useState(false);
  const list = agents.data?.agents ?? [];
  const invite = may("POST /admin/v1/agents") && (
    <Button kind="primary" icon={Plus} onClick={() => setOpen(true)} data-testid="invite">
      {t("agents.invite")}
    </Button>
  );
  return (
    <div className="page">
      <PageHead title={t("agents.title")} lead={t("agents.lead")}>
        {invite}
      </PageHead>
      <Refusal error={agents.error} retry={() => void agents.refetch()} />
      {agents.isPending ? (
        <Loading />
      ) : list.length === 0 ? (
        <Panel>
          <Empty icon={Network} title={t("agents.none")}>
            {t("agents.none_lead")}
          </Empty>
        </Panel>
      ) : (
        <Panel title={t("agents.all")} note={number(list.length)} flush>
          <Table
            label={t("agents.all")}
            rows={list}
            keyOf={({ name }) => name}
            rowTestId={({ name }) => `agent-${name}`}
            columns={[
              { head: "agents.agent", cell: ({ name }) => <Link href={`/agents/${encodeURIComponent(name)}`}><b>{name}</b></Link> },
              { head: "agents.state", cell: (agent) => <AgentBadge of={agent} now={now} /> },
              { head: "policy.profiles", cell: ({ policy }) => <Chips items={policy?.profiles} /> },
              { head: "agents.certificate", cell: (agent) => (endOf(agent) ? t("agents.until", { when: ago(endOf(agent), now) }) : <span className="muted">{t(without(agent))}</span>) },
              { head: "agents.from", cell: ({ origin }) => word("agent_origin", origin) },
            ]}
          />
        </Panel>
      )}
      <InviteAgent open={open} onClose={() => setOpen(false)} profiles={inUse(profiles.data?.profiles)} />
    </div>
  );
}

/** Why there is no certificate of the signer's own authority that counts. */
function without({ revoked_at: revoked, origin, must_enrol: mustEnrol }: Agent): Text {
  if (revoked) return "agents.shut_out";
  return origin === "configuration" && !mustEnrol ? "agents.other_authority" : "agents.no_certificate";
}
