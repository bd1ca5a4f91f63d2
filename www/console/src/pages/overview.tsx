import { Activity as ActivityIcon, CheckCircle2, Cpu, Gauge, Globe, KeyRound, ScrollText } from "lucide-react";
import { Link } from "wouter";
import { useResource, useSession } from "../api/queries";
import { inUse, type Activity, type Approval, type Key, type Profile } from "../api/types";
import { attention, type Attention } from "../attention";
import { useAuditStatus, useEdges } from "../api/watch";
import { useWords, type Key as Text, type Words } from "../i18n";
import { Loading, Notice, PageHead, Panel, Refusal } from "../kit";
import { useNow } from "../kit/now";
import { Spark } from "../kit/spark";
import { slotsOf, windowOf } from "../timeline/model";
import { Timeline, TimelineLegend } from "../timeline/timeline";

/** Where a thing is looked at, if that is not the page of one key. */
const LOOKS: Record<string, Text> = {
  "/account": "overview.look_account",
  "/activity": "overview.look_activity",
  "/audit": "overview.look_audit",
  "/edges": "overview.look_edges",
  "/keys": "overview.look_keys",
};

export default function Overview() {
  const words = useWords();
  const { t, n, number, ago } = words;
  const now = useNow(10);
  const current = useSession();
  const keys = useResource<{ keys: Key[] }>("/admin/v1/keys", { every: 5 });
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles", { every: 5 });
  const approvals = useResource<{ approvals: Approval[] }>("/admin/v1/approvals", { every: 15 });
  const live = useResource<Activity>("/admin/v1/activity", { every: 2 });
  const edges = useEdges();
  const audit = useAuditStatus();

  const error = keys.error ?? profiles.error ?? approvals.error ?? live.error ?? edges.error ?? audit.error;
  const retry = () => {
    for (const { refetch } of [keys, profiles, approvals, live]) void refetch();
    edges.again();
    audit.again();
  };
  // Nobody is calmed by what was not looked at yet.
  const unread = [keys, profiles, approvals, live, edges, audit].some(({ isPending }) => isPending);
  if (!keys.data || !profiles.data || (unread && !error)) {
    return (
      <div className="page">
        <PageHead title={t("nav.overview")} />
        {error ? <Refusal error={error} retry={retry} /> : <Loading />}
      </div>
    );
  }
  // What was read before an error is old: it may stand here, but calms nobody.
  const activity = live.data;
  const all = keys.data.keys;
  const items = attention({
    me: current?.user?.name ?? "",
    keys: all,
    approvals: approvals.data?.approvals ?? [],
    profiles: inUse(profiles.data.profiles),
    activity,
    edges: edges.edges ?? [],
    audit: audit.data,
    recoveryCodesLeft: current?.via === "passkey" ? current.recovery_codes_left : undefined,
    now,
  });
  const urgent = items.filter(({ tone }) => tone !== "info").length;
  const slots = slotsOf(all, now);
  const signing = all.filter(({ state, purpose }) => state === "active" && purpose === "token").length;
  const standby = all.filter(({ state, purpose }) => state === "published" && purpose === "token").length;
  const issuance = live.error ? undefined : activity?.issuance;
  const [title, lead] = error
    ? [t("overview.unknown"), t("overview.unknown_lead", { when: ago(keys.dataUpdatedAt, now) })]
    : urgent === 0
      ? [t("overview.calm"), n("overview.calm_lead", signing)]
      : [n("overview.attention", urgent), t("overview.attention_lead")];

  return (
    <div className="page">
      <PageHead title={title} lead={lead} />
      <Refusal error={error} retry={retry} />
      {items.length > 0 ? (
        <ul className="attention" aria-label={t("overview.needs")} data-testid="attention">
          {items.map((item) => (
            <li key={item.id} data-testid={`attention-${item.id.split(":")[0]}`}>
              <Item item={item} words={words} now={now} />
            </li>
          ))}
        </ul>
      ) : null}

      <div className="tiles six">
        <Tile href="/keys" icon={KeyRound} what={t("overview.signing")} value={number(signing)} note={n("overview.standbys", standby)} />
        <Tile href="/activity" icon={ActivityIcon} what={t("overview.rate")} value={issuance ? number(issuance.issued_by_second.reduce((sum, count) => sum + count, 0)) : "–"} note={t("overview.last_minute")}>
          <Spark points={issuance?.issued_by_second ?? []} />
        </Tile>
        <Tile href="/activity" icon={Gauge} what={t("overview.latency")} value={issuance?.p95_ms == null ? "–" : number(issuance.p95_ms, { maximumSignificantDigits: 2 })} unit={t("unit.ms")} note={t("overview.latency_note")} />
        <Tile
          href="/activity"
          icon={Cpu}
          what={t("overview.hsm")}
          value={activity && !live.error ? (activity.ready && activity.hsm.breaker === "closed" ? t("overview.ready") : t("overview.troubled")) : "–"}
          note={activity && !live.error ? t("overview.threads", { busy: number(activity.hsm.busy), threads: number(activity.hsm.threads) }) : undefined}
        />
        <Tile href="/edges" icon={Globe} what={t("nav.edges")} value={(!edges.error && edges.headline) || "–"} note={edges.error ? undefined : edges.note} />
        <Tile href="/audit" icon={ScrollText} what={t("overview.audit")} value={audit.rows === undefined ? "–" : number(audit.rows)} unit={audit.rows === undefined ? undefined : t("unit.rows")} note={audit.error ? undefined : audit.note} />
      </div>

      <Panel title={t("overview.keys")} note={<TimelineLegend />}>
        <Timeline slots={slots} now={now} window={windowOf(slots, now, "fit")} />
      </Panel>
    </div>
  );
}

function Item({ item: { tone, title, detail, values, moments, href }, words, now }: { item: Attention; words: Words; now: number }) {
  const { t, ago, date } = words;
  const said = Object.fromEntries(Object.entries(moments).map(([name, at]) => [name, name === "until" ? date(at) : `${ago(at, now)} (${date(at)})`]));
  return (
    <Notice
      tone={tone}
      title={t(title, values)}
      aside={
        <Link className="button little" href={href}>
          {t(LOOKS[href] ?? "overview.look_key")}
        </Link>
      }
    >
      <p>{t(detail, { ...values, ...said })}</p>
    </Notice>
  );
}

function Tile({ href, icon: Icon, what, value, unit, note, children }: { href: string; icon: typeof CheckCircle2; what: string; value: string; unit?: string | undefined; note?: string | undefined; children?: React.ReactNode }) {
  return (
    <Link href={href} className="tile">
      <span className="what">
        <Icon size={15} aria-hidden />
        {what}
      </span>
      <span className="value">
        {value}
        {unit && <small>{unit}</small>}
      </span>
      {note && <span className="note">{note}</span>}
      {children}
    </Link>
  );
}
