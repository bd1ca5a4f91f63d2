import { CircleAlert, Import, KeyRound, Plus, RefreshCw } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useMay, useResource } from "../api/queries";
import { inUse, type Approval, type Key, type Profile } from "../api/types";
import { Approvals } from "../keys/approvals";
import { Generate } from "../keys/generate";
import { ImportKey } from "../keys/import";
import { RotateNow } from "../keys/rotate";
import { stateTone } from "../keys/state";
import { useWords } from "../i18n";
import { Badge, Button, Empty, Loading, PageHead, Panel, Refusal, Short, Table } from "../kit";
import { useNow } from "../kit/now";
import { slotName, Timeline, TimelineLegend, noteOf } from "../timeline/timeline";
import { slotsOf, SPANS, windowOf, type Span } from "../timeline/model";

/** States after which nothing comes by itself. */
const OVER: readonly string[] = ["retired", "compromised", "destroyed"];

export default function Keys() {
  const words = useWords();
  const { t, word, date, day } = words;
  const may = useMay();
  const now = useNow(5);
  const keys = useResource<{ keys: Key[] }>("/admin/v1/keys", { every: 4 });
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles", { every: 30 });
  const approvals = useResource<{ approvals: Approval[] }>("/admin/v1/approvals", { every: 10 });
  const [span, setSpan] = useState<Span>("fit");
  const [open, setOpen] = useState<"generate" | "import" | "rotate">();
  const close = () => setOpen(undefined);

  const list = keys.data?.keys ?? [];
  const slots = slotsOf(list, now);
  const names = inUse(profiles.data?.profiles);
  return (
    <div className="page">
      <PageHead title={t("keys.title")} lead={t("keys.lead")}>
        {may("POST /admin/v1/keys:import") && (
          <Button icon={Import} onClick={() => setOpen("import")} data-testid="import">
            {t("keys.import")}
          </Button>
        )}
        {may("POST /admin/v1/keys/{kid}:activate") && (
          <Button icon={RefreshCw} onClick={() => setOpen("rotate")} disabled={!list.length} data-testid="rotate">
            {t("keys.rotate")}
          </Button>
        )}
        {may("POST /admin/v1/keys") && (
          <Button kind="primary" icon={Plus} onClick={() => setOpen("generate")} data-testid="generate">
            {t("keys.generate")}
          </Button>
        )}
      </PageHead>
      <Refusal error={keys.error ?? profiles.error} retry={() => void keys.refetch()} />
      <Approvals approvals={approvals.data?.approvals ?? []} />
      {keys.isPending ? (
        <Loading />
      ) : list.length === 0 ? (
        <Panel>
          <Empty icon={KeyRound} title={t("keys.none")}>
            {t("keys.none_lead")}
          </Empty>
        </Panel>
      ) : (
        <>
          <Panel
            title={t("keys.timeline")}
            aside={
              <div className="segments no-print" role="group" aria-label={t("keys.span")}>
                {(Object.keys(SPANS) as Span[]).map((one) => (
                  <button key={one} type="button" aria-pressed={span === one} onClick={() => setSpan(one)}>
                    {word("span", one)}
                  </button>
                ))}
              </div>
            }
          >
            <Timeline slots={slots} now={now} window={windowOf(slots, now, span)} />
            <TimelineLegend />
          </Panel>
          <Panel title={t("keys.all")} flush>
            <Table
              label={t("keys.all")}
              rows={[...list].sort((a, b) => b.created_at.localeCompare(a.created_at))}
              keyOf={(key) => key.cka_id}
              rowTestId={(key) => `key-${key.kid}`}
              columns={[
                { head: "keys.key", cell: (key) => <KeyLink of={key} /> },
                { head: "keys.for", cell: (key) => slotName({ ...key, agent: key.agent ?? null }, words) },
                { head: "keys.kind", cell: (key) => <span className="nowrap">{key.alg === key.key ? key.alg : `${key.alg} · ${key.key}`}</span> },
                { head: "keys.state", cell: (key) => <Badge tone={stateTone(key.state)}>{word("state", key.state)}</Badge> },
                { head: "keys.next", cell: (key) => (OVER.includes(key.state) ? "" : noteOf(key, words, now)) },
                { head: "keys.created", cell: (key) => <span className="num nowrap" title={date(key.created_at)}>{day(key.created_at)}</span> },
              ]}
            />
          </Panel>
        </>
      )}
      <Generate open={open === "generate"} onClose={close} profiles={names} />
      <ImportKey open={open === "import"} onClose={close} profiles={names} />
      <RotateNow open={open === "rotate"} onClose={close} keys={list} profiles={names} />
    </div>
  );
}

function KeyLink({ of: key }: { of: Key }) {
  const { t } = useWords();
  if (!key.kid) {
    return (
      <span className="muted">
        {key.state === "failed" && <CircleAlert size={14} aria-hidden />} {t("keys.no_kid")}
      </span>
    );
  }
  return (
    <Link href={`/keys/${encodeURIComponent(key.kid)}`}>
      {key.label && <b>{key.label} </b>}
      <Short text={key.kid} head={8} tail={4} />
    </Link>
  );
}
