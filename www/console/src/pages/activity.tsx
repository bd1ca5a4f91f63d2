import { useActivity, type Sample } from "../activity";
import type { Activity as Numbers } from "../api/types";
import { useWords, type Words } from "../i18n";
import { Badge, Facts, Loading, Notice, PageHead, Panel, Refusal } from "../kit";
import { pathsOf } from "../kit/spark";

export default function Activity() {
  const words = useWords();
  const { t, word, number, date } = words;
  const { activity, error, rate, history, again } = useActivity(2);
  if (!activity) return error ? <Refusal error={error} retry={again} /> : <Loading />;
  const { hsm } = activity;
  const issued = total(activity, (outcome) => outcome === "issued");
  const refused = total(activity, (outcome) => outcome !== "issued");
  return (
    <div className="page">
      <PageHead title={t("activity.title")} lead={t("activity.lead", { since: date(activity.started_at) })} />
      {!activity.ready && <Notice tone="bad" title={t("attention.not_ready.title")}><p>{activity.not_ready}</p></Notice>}
      {Boolean(error) && <Refusal error={error} retry={again} />}
      <div className="tiles">
        <Tile what={t("overview.rate")} value={rate === undefined ? "–" : number(rate, { maximumFractionDigits: 1 })} unit={t("unit.per_second")} />
        <Tile what={t("activity.issued")} value={number(issued)} />
        <Tile what={t("activity.refused")} value={number(refused)} note={issued + refused > 0 ? number(refused / (issued + refused), { style: "percent", maximumFractionDigits: 2 }) : undefined} />
        <Tile what={t("activity.signatures")} value={number(hsm.signatures)} />
      </div>
      <Panel title={t("activity.rate")} note={t("activity.live")}>
        <Chart history={history} words={words} />
      </Panel>
      <div className="columns even">
        <Panel title={t("activity.latency")} note={t("activity.latency_note")} flush>
          <div className="table-wrap" tabIndex={0} role="region" aria-label={t("activity.latency")}>
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t("activity.phase")}</th>
                  <th scope="col" className="end">p50</th>
                  <th scope="col" className="end">p95</th>
                  <th scope="col" className="end">p99</th>
                </tr>
              </thead>
              <tbody>
                {activity.phases.map(({ phase, p50, p95, p99 }) => (
                  <tr key={phase}>
                    <th scope="row">{word("phase", phase)}</th>
                    {[p50, p95, p99].map((seconds, index) => (
                      <td key={index} className="end num">{milliseconds(seconds, words)}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
        <Panel title={t("activity.outcomes")}>
          <Outcomes activity={activity} words={words} />
        </Panel>
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
              [t("activity.queued"), number(hsm.queued)],
              [t("activity.quarantined"), number(hsm.quarantined)],
              [t("activity.processes"), number(hsm.processes)],
              [t("activity.logins"), number(hsm.logins)],
            ]}
          />
        </Panel>
        <Panel title={t("activity.faults")} note={t("activity.faults_note")}>
          <Facts
            rows={[
              [t("activity.deadlines"), number(hsm.deadlines)],
              [t("activity.overflows"), number(hsm.overflows)],
              [t("activity.held_back"), number(hsm.held_back)],
              [t("activity.restarts"), number(hsm.restarts)],
              [t("activity.retries"), number(hsm.retries.handle + hsm.retries.session + hsm.retries.module)],
              [t("activity.throttled"), number(hsm.retries.throttled)],
            ]}
          />
        </Panel>
      </div>
    </div>
  );
}

function Tile({ what, value, unit, note }: { what: string; value: string; unit?: string; note?: string | undefined }) {
  return (
    <div className="tile">
      <span className="what">{what}</span>
      <span className="value">
        {value}
        {unit && <small>{unit}</small>}
      </span>
      {note && <span className="note">{note}</span>}
    </div>
  );
}

function Chart({ history, words: { t, number, clock } }: { history: Sample[]; words: Words }) {
  if (history.length < 2) return <p className="muted">{t("activity.gathering")}</p>;
  const top = Math.max(1, ...history.map(({ tokens }) => tokens), ...history.map(({ refused }) => refused));
  const tokens = pathsOf(history.map((sample) => sample.tokens), 100, 160, top);
  const refused = pathsOf(history.map((sample) => sample.refused), 100, 160, top);
  const newest = history.at(-1);
  return (
    <figure>
      <svg className="chart" viewBox="0 0 100 166" preserveAspectRatio="none" role="img" aria-label={t("activity.chart", { rate: number(newest?.tokens ?? 0, { maximumFractionDigits: 1 }), top: number(top, { maximumFractionDigits: 1 }) })}>
        {[2, 82, 162].map((y) => (
          <line key={y} className="grid" x1="0" x2="100" y1={y} y2={y} />
        ))}
        <path className="area" d={tokens.area} />
        <path className="line" d={tokens.line} />
        <path className="line errors" d={refused.line} />
      </svg>
      <figcaption className="legend">
        <span>
          <i className="tone-active" aria-hidden /> {t("activity.issued_per_second")}
        </span>
        <span>
          <i className="tone-compromised" aria-hidden /> {t("activity.refused_per_second")}
        </span>
        <span>{t("activity.top", { top: number(top, { maximumFractionDigits: 1 }) })}</span>
        <span className="num">
          {clock(history[0]?.at)} – {clock(newest?.at)}
        </span>
      </figcaption>
    </figure>
  );
}

function Outcomes({ activity, words: { t, word, number } }: { activity: Numbers; words: Words }) {
  const counts = new Map<string, number>();
  for (const { outcome, count } of activity.tokens) counts.set(outcome, (counts.get(outcome) ?? 0) + count);
  if (counts.size === 0) return <p className="muted">{t("activity.nothing")}</p>;
  const most = Math.max(...counts.values());
  return (
    <ul className="bars">
      {[...counts].sort(([, a], [, b]) => b - a).map(([outcome, count]) => (
        <li key={outcome}>
          <span>{word("outcome", outcome)}</span>
          <span className="track">
            <span className={outcome === "issued" ? "" : "bad"} style={{ width: `${(count / most) * 100}%` }} />
          </span>
          <span className="num">{number(count)}</span>
        </li>
      ))}
    </ul>
  );
}

function milliseconds(seconds: number | null, { number, t }: Words): string {
  return seconds === null ? "–" : `${number(seconds * 1_000, { maximumSignificantDigits: 3 })} ${t("unit.ms")}`;
}

function total(activity: Numbers, which: (outcome: string) => boolean): number {
  return activity.tokens.reduce((sum, { outcome, count }) => sum + (which(outcome) ? count : 0), 0);
}
