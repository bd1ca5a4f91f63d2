import { Globe, ShieldBan } from "lucide-react";
import { useState, type FormEvent } from "react";
import { useAgain, useMay, useResource } from "../api/queries";
import { send } from "../api/session";
import type { Revocation } from "../api/types";
import { useEdges } from "../api/watch";
import { useWords } from "../i18n";
import { Badge, Button, Choice, Confirm, Empty, Facts, Loading, Notice, PageHead, Panel, Refusal, Short, Table, TextField } from "../kit";
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
            {t("edges.none_lead")}
          </Empty>
        </Panel>
      )}
      <div className="cards">
        {(edges ?? []).map((edge) => (
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
      <Panel title={t("edges.revocations")} note={t("edges.revocations_note")} flush>
        {revocations.error ? <Refusal error={revocations.error} /> : null}
        {revocations.data?.revocations.length ? (
          <Table
            label={t("edges.revocations")}
            rows={revocations.data.revocations}
            keyOf={({ kind, value, issuer }) => `${kind} ${issuer} ${value}`}
            columns={[
              { head: "edges.kind", cell: ({ kind }) => word("revocation", kind) },
              { head: "edges.value", cell: ({ value }) => <Short text={value} head={14} tail={6} /> },
              { head: "edges.before", cell: ({ before }) => (before ? date(before) : "–") },
              { head: "edges.since", cell: ({ revoked_at }) => ago(revoked_at, now) },
              { head: "edges.ends", cell: ({ until }) => (until ? date(until) : t("edges.for_good")) },
            ]}
          />
        ) : (
          revocations.data && <Empty title={t("edges.nothing_revoked")} />
        )}
      </Panel>
      <Revoke open={revoking} onClose={() => setRevoking(false)} />
    </div>
  );
}

/** Revokes a token by its `jti`, or all that a subject was issued. Keys are revoked on their own pages. */
function Revoke({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t, word } = useWords();
  const again = useAgain();
  const tell = useTell();
  const [kind, setKind] = useState("jti");
  const [value, setValue] = useState("");
  const run = async () => {
    await send("POST", "/admin/v1/revocations", { kind, value: value.trim() });
    await again("/admin/v1/revocations", "/admin/v1/edges");
    tell(t("edges.revoked"));
    setValue("");
  };
  const set = (event: FormEvent<HTMLInputElement>) => setValue(event.currentTarget.value);
  return (
    <Confirm
      open={open}
      onClose={onClose}
      danger
      title={t("edges.revoke_title")}
      will={[kind === "jti" ? t("edges.will_token") : t("edges.will_subject"), t("edges.will_told"), t("edges.will_final")]}
      confirm={t("edges.revoke_button")}
      disabled={!value.trim()}
      run={run}
    >
      <Choice label={t("edges.kind")} value={kind} onChange={(event) => setKind(event.target.value)} data-testid="kind">
        {["jti", "sub"].map((one) => (
          <option key={one} value={one}>
            {word("revocation", one)}
          </option>
        ))}
      </Choice>
      <TextField label={kind === "jti" ? "jti" : "sub"} mono value={value} onChange={set} required data-testid="value" />
    </Confirm>
  );
}
