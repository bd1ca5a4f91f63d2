import { Globe, ShieldBan } from "lucide-react";
import { useEffect, useState, type FormEvent } from "react";
import { useAgain, useMay, useResource } from "../api/queries";
import { send } from "../api/session";
import type { Issuer, Revocation } from "../api/types";
import { useEdges } from "../api/watch";
import { useWords } from "../i18n";
import { Badge, Button, Choice, Confirm, Empty, Facts, Loading, Marked, Notice, PageHead, Panel, Refusal, Short, Table, TextField } from "../kit";
import { useNow } from "../kit/now";
import { useTell } from "../kit/toasts";

export default function Edges() {
  const { t, word, ago, date, number } = useWords();
  const may = useMay();
  const now = useNow(5);
  const { edges, error, isPending, again } = useEdges();
  const revocations = useResource<{ revocations: Revocation[] }>("/admin/v1/revocations", { every: 5 });
  const [revoking, setRevoking] = useState(false);
  return (
    <div className="page">
      <PageHead title={t("edges.title")} lead={t("edges.lead")}>
        {may("POST /admin/v1/revocations") && (
          <Button kind="danger" icon={ShieldBan} onClick={() => setRevoking(true)} data-testid="revoke-token">
            {t("edges.revoke")}
          </Button>
        )}
      </PageHead>
      <Refusal error={error} retry={again} />
      {isPending && <Loading />}
      {edges?.length === 0 && (
        <Panel>
          <Empty icon={Globe} title={t("edges.none")}>
            <Marked text={t("edges.none_lead")} />
          </Empty>
        </Panel>
      )}
      {edges && edges.length > 0 && (
        <div className="cards">
          {edges.map((edge) => (
            <Panel key={edge.id} title={edge.name} note={<Badge tone={edge.state === "current" ? "good" : edge.trouble ? "bad" : "warn"}>{word("edge_state", edge.state)}</Badge>}>
              <Facts
                rows={[
                  ["URL", edge.url ?? t("edges.fetches_itself")],
                  [t("edges.sequence"), edge.seq === null ? "–" : number(edge.seq)],
                  [t("edges.acknowledged"), edge.acknowledged_at ? `${ago(edge.acknowledged_at, now)}, ${date(edge.acknowledged_at)}` : t("edges.never")],
                  [t("edges.reread_by"), edge.reread_by ? date(edge.reread_by) : "–"],
                  [t("edges.bound_by"), edge.bound_by ? `${ago(edge.bound_by, now)}, ${date(edge.bound_by)}` : "–"],
                  [t("edges.attempts"), number(edge.attempts)],
                ]}
              />
              {edge.trouble && (
                <Notice tone="bad" title={t("edges.trouble")}>
                  <p>{edge.trouble}</p>
                </Notice>
              )}
            </Panel>
          ))}
        </div>
      )}
      <JwkSets now={now} />
      <Panel title={t("edges.revocations")} note={t("edges.revocations_note")} flush>
        {revocations.error ? <Refusal error={revocations.error} /> : null}
        {revocations.data?.revocations.length ? (
          <Table
            label={t("edges.revocations")}
            rows={revocations.data.revocations}
            keyOf={({ kind, value, issuer }) => `${kind} ${issuer} ${value}`}
            rowTestId={({ kind, value }) => `revoked-${kind}-${value}`}
            columns={[
              { head: "edges.kind", cell: ({ kind }) => word("revocation", kind) },
              { head: "edges.value", cell: ({ value }) => <Short text={value} head={14} tail={6} /> },
              { head: "profile.issuer", cell: ({ issuer }) => issuer ?? t("edges.every_issuer") },
              { head: "edges.before", cell: ({ before }) => (before ? date(before) : "–") },
              { head: "edges.since", cell: ({ revoked_at }) => ago(revoked_at, now) },
              { head: "edges.ends", cell: ({ until }) => (until ? date(until) : t("edges.for_good")) },
            ]}
          />
        ) : (
          revocations.data && <Empty title={t("edges.nothing_revoked")} />
        )}
      </Panel>
      <Revoke open={revoking} onClose={() => setRevoking(false)} isHeard={edges?.length !== 0} />
    </div>
  );
}

/** When verifiers have the keys as they are now. How old the keys of one isolate are is known to that isolate alone. */
function JwkSets({ now }: { now: number }) {
  const { t, ago, date } = useWords();
  const issuers = useResource<{ issuers: Issuer[] }>("/admin/v1/issuers", { every: 10 });
  return (
    <Panel title={t("edges.jwks")} note={<Marked text={t("edges.jwks_note")} />} flush>
      <Refusal error={issuers.error} retry={() => void issuers.refetch()} />
      {issuers.data && (
        <Table
          label={t("edges.jwks")}
          rows={issuers.data.issuers}
          keyOf={({ name }) => name}
          rowTestId={({ name }) => `jwks-${name}`}
          columns={[
            { head: "profile.issuer", cell: ({ issuer, jwks_uri }) => <a href={jwks_uri} target="_blank" rel="noreferrer">{issuer}</a> },
            { head: "edges.jwks_changed", cell: ({ jwks_changed_at: at }) => (at ? <time dateTime={at} title={date(at)}>{ago(at, now)}</time> : t("edges.never")) },
            {
              head: "edges.jwks_known",
              cell: ({ jwks_known_by: by }) =>
                !by ? "–" : Date.parse(by) <= now ? <Badge tone="good">{t("edges.jwks_everywhere")}</Badge> : <time dateTime={by} title={date(by)}>{ago(by, now)}, {date(by)}</time>,
            },
          ]}
        />
      )}
    </Panel>
  );
}

/**
 * Revokes a token by its `jti`, or all that a subject was issued, of one issuer: where there are several, none is taken for
 * granted, since an entry of the wrong one revokes nothing; nor is an agent, whose own key makes an issuer of its own. Keys are
 * revoked on their own pages.
 */
function Revoke({ open, onClose, isHeard }: { open: boolean; onClose: () => void; isHeard: boolean }) {
  const { t, word } = useWords();
  const again = useAgain();
  const tell = useTell();
  const [kind, setKind] = useState("jti");
  const [value, setValue] = useState("");
  const issuers = useResource<{ issuers: Issuer[] }>("/admin/v1/issuers", { every: 10 });
  const known = issuers.data?.issuers ?? [];
  const [url, setUrl] = useState("");
  const [agent, setAgent] = useState("");
  const chosen = known.length === 1 ? known[0] : known.find(({ issuer }) => issuer === url);
  useEffect(() => {
    if (!open) return;
    setUrl("");
    setAgent("");
  }, [open]);
  const run = async () => {
    if (!chosen) return;
    const own = chosen.agent_issuers > 0 && agent.trim() ? { agent: agent.trim() } : {};
    await send("POST", "/admin/v1/revocations", { kind, value: value.trim(), issuer: chosen.name, ...own });
    await again("/admin/v1/revocations", "/admin/v1/edges");
    tell(t(isHeard ? "edges.revoked" : "edges.revoked_untold"));
    setValue("");
  };
  const set = (event: FormEvent<HTMLInputElement>) => setValue(event.currentTarget.value);
  return (
    <Confirm
      open={open}
      onClose={onClose}
      danger
      title={t("edges.revoke_title")}
      will={[kind === "jti" ? t("edges.will_token") : t("edges.will_subject"), t(isHeard ? "edges.will_told" : "edges.will_nobody"), t("edges.will_final")]}
      confirm={t("edges.revoke_button")}
      disabled={!value.trim() || !chosen}
      run={run}
    >
      <Choice label={t("edges.kind")} value={kind} onChange={(event) => setKind(event.target.value)} data-testid="kind">
        {["jti", "sub"].map((one) => (
          <option key={one} value={one}>
            {word("revocation", one)}
          </option>
        ))}
      </Choice>
      {known.length > 1 && (
        <Choice label={t("profile.issuer")} hint={t("edges.issuer_hint")} value={url} onChange={(event) => setUrl(event.target.value)} required data-testid="issuer">
          <option value="" disabled>
            {t("edges.issuer_choose")}
          </option>
          {known.map(({ name, issuer }) => (
            <option key={name} value={issuer}>
              {name ? `${name} (${issuer})` : issuer}
            </option>
          ))}
        </Choice>
      )}
      <Refusal error={issuers.error} retry={() => void issuers.refetch()} />
      {chosen && chosen.agent_issuers > 0 && <TextField label={t("edges.agent")} hint={t("edges.agent_hint")} value={agent} onChange={(event) => setAgent(event.currentTarget.value)} data-testid="agent" />}
      <TextField label={kind === "jti" ? "jti" : "sub"} mono value={value} onChange={set} required data-testid="value" />
    </Confirm>
  );
}
