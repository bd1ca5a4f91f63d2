// Evidence to print: per key what auditors ask (ISMS-P 2.7.2, CSAP 12.3.2), as the registry, the HSM and the log have it.
import { useQueries } from "@tanstack/react-query";
import { Printer } from "lucide-react";
import { useResource, useSession } from "../api/queries";
import { send } from "../api/session";
import type { Agent, AuditPage, Key, KeyAttributes, Profile } from "../api/types";
import { useAuditStatus } from "../api/watch";
import { useWords } from "../i18n";
import { stateTone } from "../keys/state";
import { Badge, Button, Facts, Loading, Notice, PageHead, Panel, Refusal } from "../kit";
import { slotName } from "../timeline/timeline";

export default function Report() {
  const words = useWords();
  const { t, word, date, span, number } = words;
  const current = useSession();
  const keys = useResource<{ keys: Key[] }>("/admin/v1/keys");
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles");
  const agents = useResource<{ agents: Agent[] }>("/admin/v1/agents");
  const audit = useAuditStatus();
  const list = (keys.data?.keys ?? []).filter(({ state }) => state !== "generating" && state !== "failed");
  const attributes = useQueries({
    queries: list.map(({ kid, state }) => ({
      queryKey: [`/admin/v1/keys/${kid}/attributes`],
      queryFn: () => send<KeyAttributes>("GET", `/admin/v1/keys/${encodeURIComponent(kid ?? "")}/attributes`),
      enabled: Boolean(kid) && state !== "destroyed",
      staleTime: 60_000,
    })),
  });
  const histories = useQueries({
    queries: list.map(({ kid }) => ({
      queryKey: ["/admin/v1/audit", "report", kid],
      queryFn: () => send<AuditPage>("GET", `/admin/v1/audit?subject=${encodeURIComponent(kid ?? "")}&limit=50`),
      enabled: Boolean(kid),
      staleTime: 60_000,
    })),
  });
  if (keys.isPending) return <Loading />;
  const waiting = [...attributes, ...histories].some(({ isLoading }) => isLoading);
  return (
    <div className="page report">
      <PageHead title={t("report.title")} lead={t("report.lead")}>
        <Button kind="primary" icon={Printer} busy={waiting} onClick={() => window.print()} className="no-print" data-testid="print">
          {t("report.print")}
        </Button>
      </PageHead>
      <Refusal error={keys.error ?? profiles.error ?? agents.error} />
      <Panel title={t("report.about")}>
        <Facts
          rows={[
            [t("report.made"), `${date(Date.now())}, ${current?.user?.name ?? ""}`],
            [t("report.signer"), `${current?.origin ?? ""} (Edgeseal ${current?.version ?? ""})`],
            [t("report.keys"), number(list.length)],
            [t("report.agents"), number(agents.data?.agents.length ?? 0)],
            [t("report.audit"), audit.trouble ?? `${t("audit.status", { rows: number(audit.rows ?? 0), chains: number(audit.data?.chains.length ?? 0) })} ${audit.note ?? ""}`],
          ]}
        />
      </Panel>
      {list.map((key, index) => {
        const profile = profiles.data?.profiles.find(({ name }) => name === key.profile);
        const users = (agents.data?.agents ?? []).filter((agent) => !agent.revoked_at && agent.profiles.includes(key.profile)).map(({ agent }) => agent);
        const said = attributes[index]?.data?.attributes ?? {};
        const history = histories[index]?.data?.rows ?? [];
        const bool = (name: string) => (said[name] === true ? t("common.yes") : said[name] === false ? t("common.no") : t("key.not_reported"));
        const generated = history.find(({ action }) => /generate|import/.test(action));
        return (
          <Panel key={key.cka_id} title={key.label || slotName({ ...key, agent: key.agent ?? null }, words)} note={<Badge tone={stateTone(key.state)}>{word("state", key.state)}</Badge>}>
            <Facts
              rows={[
                ["kid", <code key="kid">{key.kid}</code>],
                [t("report.purpose"), `${word("purpose", key.purpose)}${profile ? `, ${profile.issuer}` : ""}`],
                [t("report.owner"), generated ? generated.actor : "–"],
                [t("report.users"), key.agent ?? (users.length ? users.join(", ") : "–")],
                [t("report.generation"), `${word("origin", key.origin)}, ${key.alg} (${key.key}), ${date(key.created_at)}`],
                [t("report.storage"), t("report.storage_text", { id: key.cka_id, sensitive: bool("CKA_ALWAYS_SENSITIVE"), extractable: bool("CKA_NEVER_EXTRACTABLE") })],
                [t("report.distribution"), key.published_at ? t("report.published", { when: date(key.published_at) }) : t("report.unpublished")],
                [t("report.validity"), [key.activated_at && t("report.signed_from", { when: date(key.activated_at) }), key.demoted_at && t("report.signed_until", { when: date(key.demoted_at) }), key.rotation && t("report.rotation", { when: date(key.rotation) }), key.max_lifetime > 0 && t("report.tokens", { span: span(key.max_lifetime) })].filter(Boolean).join("; ") || "–"],
                [t("report.recovery"), said.CKA_EXTRACTABLE === false ? t("report.recovery_none") : t("report.recovery_unknown")],
                [t("report.destruction"), key.destroyed_at ? t("report.destroyed", { when: date(key.destroyed_at) }) : key.destroy_at ? t("report.scheduled", { when: date(key.destroy_at) }) : t("report.not_destroyed")],
              ]}
            />
            {history.length > 0 && (
              <>
                <h3>{t("report.history")}</h3>
                <ul className="report-history">
                  {history.map((row) => (
                    <li key={`${row.chain}${row.seq}`}>
                      <time dateTime={row.at}>{date(row.at)}</time> {row.action} · {row.actor} · <code>{row.chain.slice(0, 8)}/{row.seq}</code>
                    </li>
                  ))}
                </ul>
              </>
            )}
          </Panel>
        );
      })}
      <Notice tone="info" title={t("report.check")}>
        <p>
          {t("report.check_detail")} <code>edgeseal audit verify export.jsonl</code>
        </p>
      </Notice>
    </div>
  );
}
