// Evidence to print: the ledger of keys that auditors ask for (ISMS-P 2.7.2, CSAP 12.3.2), as the signer puts it together
// from the registry, the approvals and the log.
import { Download, Printer } from "lucide-react";
import { useResource, useSession } from "../api/queries";
import type { LedgerEntry } from "../api/types";
import { useAuditStatus } from "../api/watch";
import { useWords } from "../i18n";
import { phrase } from "../i18n/ledger";
import { stateTone } from "../keys/state";
import { Badge, Button, Facts, Loading, Notice, PageHead, Panel, Path, Refusal } from "../kit";

export default function Report() {
  const words = useWords();
  const { t, n, word, date, span, number } = words;
  const current = useSession();
  const ledger = useResource<{ keys: LedgerEntry[] }>("/admin/v1/audit/ledger", { once: true });
  const audit = useAuditStatus();
  const list = ledger.data?.keys ?? [];
  const said = (text: string) => phrase(text, t);
  const moment = (at: string) => (at ? date(at) : "");
  const joined = (...parts: (string | false | undefined)[]) => parts.filter(Boolean).join("; ") || "–";
  return (
    <div className="page report">
      <PageHead title={t("report.title")} lead={t("report.lead")}>
        <a className="button no-print" href="/admin/v1/audit/ledger?format=csv" download>
          <Download aria-hidden />
          CSV
        </a>
        <Button kind="primary" icon={Printer} busy={ledger.isPending} disabled={Boolean(ledger.error)} onClick={() => window.print()} className="no-print" data-testid="print">
          {t("report.print")}
        </Button>
      </PageHead>
      <Refusal error={ledger.error} retry={() => void ledger.refetch()} />
      <Panel title={t("report.about")}>
        <Facts
          rows={[
            [t("report.made"), `${date(ledger.dataUpdatedAt || null)}, ${current?.user?.name ?? ""}`],
            [t("report.signer"), `${current?.origin ?? ""} (Edgeseal ${current?.version ?? ""})`],
            [t("report.keys"), ledger.data ? number(list.length) : "–"],
            [t("report.audit"), audit.data ? `${n("audit.status", audit.data.chains, { rows: number(audit.data.rows) })} ${audit.note ?? ""}` : "–"],
            ...(audit.data?.checkpoint ? [[t("report.checkpoint"), <code key="checkpoint" className="small">{audit.data.checkpoint}</code>] as [string, React.ReactNode]] : []),
          ]}
        />
      </Panel>
      {ledger.isPending && <Loading />}
      {list.map((key) => (
        <Panel key={key.cka_id} title={`${key.label || said(key.owner)} · ${(key.kid || key.cka_id).slice(0, 8)}`} note={<Badge tone={stateTone(key.state)}>{word("state", key.state)}</Badge>}>
          <Facts
            rows={[
              ["kid", <code key="kid">{key.kid || "–"}</code>],
              [t("report.owner"), said(key.owner)],
              [t("report.purpose"), said(key.purpose)],
              [t("report.generation"), joined(said(key.generation), key.algorithm, moment(key.generated_at), key.generated_by)],
              [t("report.storage"), <Path key="storage">{joined(said(key.storage), `CKA_ID ${key.cka_id}`)}</Path>],
              [t("report.distribution"), joined(said(key.distribution), key.published_at && t("report.published", { when: moment(key.published_at) }))],
              [
                t("report.validity"),
                joined(
                  key.valid_from ? t(key.state === "active" ? "report.signed_from" : "report.signed_first", { when: moment(key.valid_from) }) : t("report.unsigned"),
                  key.valid_until && t("report.signed_until", { when: moment(key.valid_until) }),
                  key.state === "suspended" && t("report.suspended"),
                  key.rotation_at && t("report.rotation", { when: moment(key.rotation_at) }),
                  key.max_token_lifetime > 0 && t("report.tokens", { span: span(key.max_token_lifetime) }),
                  key.retired_at && t("report.retired", { when: moment(key.retired_at) }),
                  key.compromised_at && t("report.compromised", { when: moment(key.compromised_at) }),
                ),
              ],
              [t("report.recovery"), said(key.recovery) || "–"],
              [
                t("report.destruction"),
                joined(
                  said(key.destruction),
                  key.destruction_proposed_by && t("report.proposed_by", { who: key.destruction_proposed_by }),
                  key.destruction_approved_by && t("report.approved_by", { who: key.destruction_approved_by }),
                  moment(key.destroyed_at),
                ),
              ],
            ]}
          />
        </Panel>
      ))}
      <Notice tone="info" title={t("report.check")}>
        <p>
          {t("report.check_detail")} <code>edgeseal audit verify export.jsonl</code>
        </p>
      </Notice>
    </div>
  );
}
