import { Download, ScrollText } from "lucide-react";
import { Fragment, useEffect, useState, type FormEvent } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useInfiniteQuery } from "@tanstack/react-query";
import { received } from "../api/problem";
import { useMay } from "../api/queries";
import { deliver, send } from "../api/session";
import type { AuditPage, AuditRow } from "../api/types";
import { useAuditStatus } from "../api/watch";
import { isLate } from "../attention";
import { filtersIn, meant, queryOf, typed, type Filters } from "../audit/filters";
import { useWords } from "../i18n";
import { Button, CodeBlock, Empty, Loading, Notice, PageHead, Panel, Refusal, Short, TextField } from "../kit";
import { useTell } from "../kit/toasts";

const PAGE = 50;

export default function Audit() {
  const { t, n, ago, clock, day, number } = useWords();
  const may = useMay();
  const tell = useTell();
  // The filters stand in the address: back, reload and a colleague who was sent it show the same rows.
  const address = useSearch();
  const [, go] = useLocation();
  const filters = filtersIn(address);
  const [draft, setDraft] = useState<Filters>(() => typed(filters));
  useEffect(() => setDraft(typed(filtersIn(address))), [address]);
  const [exporting, setExporting] = useState(false);
  const [error, setError] = useState<unknown>();
  const status = useAuditStatus();
  const signedAt = status.data?.last_checkpoint_at;
  const late = status.data && isLate(status.data, Date.now());
  const query = queryOf(filters);
  const rows = useInfiniteQuery({
    queryKey: ["/admin/v1/audit", query],
    queryFn: ({ pageParam }) => send<AuditPage>("GET", `/admin/v1/audit?${query && `${query}&`}limit=${PAGE}${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ""}`),
    initialPageParam: "",
    getNextPageParam: ({ next }) => next ?? undefined,
  });
  const list = rows.data?.pages.flatMap(({ rows }) => rows) ?? [];

  async function download() {
    setExporting(true);
    setError(undefined);
    try {
      const response = await deliver("GET", "/admin/v1/audit/export");
      const blob = await received(response.blob());
      const url = URL.createObjectURL(blob);
      const link = document.createElement("a");
      link.href = url;
      link.download = `edgeseal-audit-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}Z.jsonl`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      tell(t("audit.exported"), t("audit.exported_detail", { size: number(Math.max(1, Math.round(blob.size / 1024))) }));
    } catch (refused) {
      setError(refused);
    } finally {
      setExporting(false);
    }
  }

  const search = (event: FormEvent) => {
    event.preventDefault();
    const query = queryOf(meant(draft));
    go(query ? `/audit?${query}` : "/audit");
  };
  const set = (field: keyof Filters) => (event: { target: { value: string } }) => setDraft({ ...draft, [field]: event.target.value });
  return (
    <div className="page">
      <PageHead title={t("audit.title")} lead={t("audit.lead")}>
        <Link href="/audit/report" className="button">
          {t("audit.report")}
        </Link>
        {may("GET /admin/v1/audit/export") && (
          <Button kind="primary" icon={Download} busy={exporting} onClick={() => void download()} data-testid="export">
            {t("audit.export")}
          </Button>
        )}
      </PageHead>
      <Refusal error={error} />
      <Refusal error={status.error} retry={status.again} />
      {status.data && !status.error && (
        <Notice tone={late || (status.data.rows > 0 && !signedAt) ? "warn" : "good"} title={late ? t("attention.audit.title") : status.note}>
          {late && <p>{t("attention.audit.late", { when: ago(signedAt), n: number(status.data.rows_after_last_checkpoint) })}</p>}
          <p className="small" data-testid="chain-status">
            {n("audit.status", status.data.chains, { rows: number(status.data.rows) })} {t("audit.offline")} <code>edgeseal audit verify export.jsonl</code>
          </p>
        </Notice>
      )}
      <Panel title={t("audit.rows")} flush>
        <form className="filters audit-filters" onSubmit={search}>
          <TextField label={t("audit.actor")} value={draft.actor} onChange={set("actor")} placeholder="admin:alice" data-testid="filter-actor" />
          <TextField label={t("audit.action")} value={draft.action} onChange={set("action")} placeholder="keys.activate" data-testid="filter-action" />
          <TextField label={t("audit.subject")} value={draft.subject} onChange={set("subject")} data-testid="filter-subject" />
          <TextField label={t("audit.from")} type="datetime-local" value={draft.from} onChange={set("from")} />
          <TextField label={t("audit.to")} type="datetime-local" value={draft.to} onChange={set("to")} />
          <div className="actions">
            <Button type="submit" data-testid="filter">
              {t("audit.filter")}
            </Button>
            {query && (
              <Button kind="quiet" onClick={() => go("/audit")}>
                {t("audit.all")}
              </Button>
            )}
          </div>
        </form>
        {rows.error && (
          <div className="audit-filters">
            <Refusal error={rows.error} retry={() => void rows.refetch()} />
          </div>
        )}
        {rows.isPending ? (
          <div className="audit-filters">
            <Loading />
          </div>
        ) : list.length === 0 && !rows.error ? (
          <Empty icon={ScrollText} title={t(rows.hasNextPage ? "audit.none_yet" : "audit.none")} />
        ) : (
          <ol className="audit-rows" data-testid="audit-rows">
            {list.map((row, index) => {
              const before = list[index - 1];
              return (
                <Fragment key={`${row.chain}:${row.seq}`}>
                  {(!before || day(before.at) !== day(row.at)) && <li className="day">{day(row.at)}</li>}
                  <Row row={row} clock={clock} />
                </Fragment>
              );
            })}
          </ol>
        )}
        {rows.hasNextPage && (
          <div className="more">
            <Button busy={rows.isFetchingNextPage} onClick={() => void rows.fetchNextPage()}>
              {t("audit.more")}
            </Button>
          </div>
        )}
      </Panel>
    </div>
  );
}

function Row({ row, clock }: { row: AuditRow; clock: (at: string) => string }) {
  const { t } = useWords();
  return (
    <li>
      <details data-testid="audit-row" data-action={row.action}>
        <summary>
          <time dateTime={row.at} className="num">
            {clock(row.at)}
          </time>
          <span className="act">
            <b>{row.action}</b>
            {row.subject && <Short text={row.subject} head={10} tail={4} />}
          </span>
          <span className="muted">{row.actor}</span>
        </summary>
        <div className="audit-detail">
          <CodeBlock text={JSON.stringify(row, null, 2)} label={t("audit.row", { seq: row.seq })} packed />
        </div>
      </details>
    </li>
  );
}
