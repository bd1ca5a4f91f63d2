import { useResource } from "../api/queries";
import type { Activity as Numbers } from "../api/types";
import { useWords, type Words } from "../i18n";
import { Badge, Facts, Loading, Notice, PageHead, Panel, Path, Refusal } from "../kit";
import { pathsOf } from "../kit/spark";

export default function Activity() {
  const words = useWords();
  const { t, word, number, date, span } = words;
  const { data: activity, error, refetch } = useResource<Numbers>("/admin/v1/activity", { every: 1 });
  const again = () => void refetch();
  if (!activity) {
    return (
      <div className="page">
        <PageHead title={t("activity.title")} />
        {error ? <Refusal error={error} retry={again} /> : <Loading />}
      </div>
    );
  }
  const { hsm, issuance, ready } = activity;
  const refused = Object.values(issuance.refused).reduce((sum, count) => sum + count, 0);
  const all = issuance.issued + refused;
  // A signer that started just now has no whole minute to tell of.
  const counted = Math.max(1, Math.floor((Date.parse(activity.at) - Date.parse(activity.started_at)) / 1_000));
  const latency = (value: number | null) => (value === null ? "–" : number(value, { maximumSignificantDigits: 3 }));
  return (
    <div className="page">
      <PageHead title={t("activity.title")} lead={t("activity.lead", { since: date(activity.started_at) })}>
        {!error && <Badge tone={ready ? "good" : "bad"}>{ready ? t("overview.ready") : t("overview.troubled")}</Badge>}
      </PageHead>
      {!ready && (
        <Notice tone="bad" title={t("attention.not_ready.title")}>
          <p>{activity.not_ready}</p>
        </Notice>
      )}
      {Boolean(error) && <Refusal error={error} retry={again} />}
      <div className="tiles six">
        <Tile what={t("overview.rate")} value={number(issuance.rate, { maximumFractionDigits: 1 })} unit={t("unit.per_second")} note={counted < 60 ? t("activity.last_span", { span: span(counted) }) : t("activity.last_minute")} />
        <Tile what={t("activity.issued")} value={number(issuance.issued)} note={t("activity.last_five")} testId="issued" />
        <Tile what={t("activity.refused")} value={number(refused)} note={all > 0 ? number(refused / all, { style: "percent", maximumFractionDigits: 2 }) : t("activity.last_five")} />
        <Tile what="p50" value={latency(issuance.p50_ms)} unit={t("unit.ms")} note={t("activity.whole")} />
        <Tile what="p95" value={latency(issuance.p95_ms)} unit={t("unit.ms")} note={t("activity.whole")} />
        <Tile what="p99" value={latency(issuance.p99_ms)} unit={t("unit.ms")} note={t("activity.whole")} />
      </div>
      <Panel title={t("activity.rate")} note={t("activity.live")}>
        <Chart issued={issuance.issued_by_second} refused={issuance.refused_by_second} words={words} />
      </Panel>
      <div className="columns even">
        <Panel title={t("activity.hsm")} note={<Badge tone={hsm.breaker === "closed" ? "good" : hsm.breaker === "open" ? "bad" : "warn"}>{word("breaker", hsm.breaker)}</Badge>}>
          <ul className="bars">
            <li>
              <span>{t("activity.busy")}</span>
              <span className="track">
                <span style={{ width: `${hsm.threads ? (hsm.busy / hsm.threads) * 100 : 0}%` }} />
              </span>
              <span className="num">{t("activity.of", { a: number(hsm.busy), b: number(hsm.threads) })}</span>
            </li>
          </ul>
          <Facts
            rows={[
              [t("activity.token"), hsm.token],
              [t("activity.library"), hsm.library],
              [t("activity.module"), <code key="module"><Path>{hsm.module}</Path></code>],
              [t("activity.canary"), hsm.canary_age === null ? "–" : t("activity.canary_age", { span: span(Math.round(hsm.canary_age)) })],
              [t("activity.queued"), number(hsm.queued)],
              ...(hsm.processes > 0 ? [[t("activity.processes"), number(hsm.processes)] as [string, string]] : []),
            ]}
          />
        </Panel>
        <div className="stack-20">
          <Panel title={t("activity.refusals")} note={t("activity.last_five")}>
            <Refusals refused={issuance.refused} words={words} />
          </Panel>
          <Panel title={t("activity.faults")} note={t("activity.faults_note")}>
            <Facts
              look="wide"
              rows={[
                [t("activity.signatures"), number(hsm.signatures)],
                [t("activity.quarantined"), number(hsm.quarantined)],
                [t("activity.deadlines"), number(hsm.deadlines)],
                [t("activity.overflows"), number(hsm.overflows)],
                [t("activity.held_back"), number(hsm.held_back)],
                [t("activity.restarts"), number(hsm.restarts)],
                [t("activity.logins"), number(hsm.logins)],
              ]}
            />
          </Panel>
        </div>
      </div>
    </div>
  );
}

function Tile({ what, value, unit, note, testId }: { what: string; value: string; unit?: string; note?: string; testId?: string }) {
  return (
    <div className="tile">
      <span className="what">{what}</span>
      <span className="value" data-testid={testId}>
        {value}
        {unit && value !== "–" && <small>{unit}</small>}
      </span>
      {note && <span className="note">{note}</span>}
    </div>
  );
}

function Chart({ issued, refused, words: { t, number } }: { issued: number[]; refused: number[]; words: Words }) {
  const top = Math.max(1, ...issued, ...refused);
  const line = pathsOf(issued, 100, 160, top);
  const errors = pathsOf(refused, 100, 160, top);
  return (
    <figure>
      <svg className="chart" viewBox="0 0 100 166" preserveAspectRatio="none" role="img" aria-label={t("activity.chart", { rate: number(issued.at(-1) ?? 0), top: number(top) })}>
        {[2, 82, 162].map((y) => (
          <line key={y} className="grid" x1="0" x2="100" y1={y} y2={y} />
        ))}
        <path className="area" d={line.area} />
        <path className="line" d={line.line} />
        <path className="line errors" d={errors.line} />
      </svg>
      <figcaption className="legend">
        <span>
          <i className="tone-active" aria-hidden /> {t("activity.issued_per_second")}
        </span>
        <span>
          <i className="tone-compromised" aria-hidden /> {t("activity.refused_per_second")}
        </span>
        <span className="num">{t("activity.top", { top: number(top) })}</span>
        <span>{t("activity.window", { n: number(issued.length) })}</span>
      </figcaption>
    </figure>
  );
}

function Refusals({ refused, words: { t, number } }: { refused: Record<string, number>; words: Words }) {
  const entries = Object.entries(refused).sort(([, a], [, b]) => b - a);
  if (entries.length === 0) return <p className="muted">{t("activity.no_refusals")}</p>;
  const most = Math.max(...entries.map(([, count]) => count));
  return (
    <ul className="bars">
      {entries.map(([code, count]) => (
        <li key={code}>
          <code>{code}</code>
          <span className="track">
            <span className="bad" style={{ width: `${(count / most) * 100}%` }} />
          </span>
          <span className="num">{number(count)}</span>
        </li>
      ))}
    </ul>
  );
}
