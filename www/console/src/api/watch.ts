// What the overview and the pages behind it both look at.
import { useWords } from "../i18n";
import { useResource } from "./queries";
import type { AuditStatus, Edge } from "./types";

export function useAuditStatus() {
  const { t, ago } = useWords();
  const { data, error, isPending, refetch } = useResource<AuditStatus>("/admin/v1/audit/status", { every: 15 });
  const at = data?.last_checkpoint_at;
  return {
    data,
    error,
    isPending,
    again: () => void refetch(),
    rows: data?.rows,
    note: data && (at ? t("audit.checkpoint", { when: ago(at) }) : t("audit.no_checkpoint")),
  };
}

/** What each edge was told and answered, in one line. */
export function useEdges() {
  const { t, n } = useWords();
  const { data, error, isPending, refetch } = useResource<{ edges: Edge[] }>("/admin/v1/edges", { every: 5 });
  const edges = data?.edges;
  const current = edges?.filter(({ state }) => state === "current").length ?? 0;
  return {
    edges,
    error,
    isPending,
    again: () => void refetch(),
    headline: edges && (edges.length === 0 ? "0" : t("activity.of", { a: current, b: edges.length })),
    note: edges && (edges.length === 0 ? t("edges.none") : current === edges.length ? t("edges.all_current") : n("edges.behind", edges.length - current)),
  };
}
