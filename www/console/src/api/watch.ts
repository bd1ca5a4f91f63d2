// What the overview and the pages behind it both look at.
import { useWords } from "../i18n";
import { useResource } from "./queries";
import type { AuditStatus, EdgeState } from "./types";

export function useAuditStatus() {
  const { t, ago } = useWords();
  const { data } = useResource<AuditStatus>("/admin/v1/audit/status", { every: 15 });
  return {
    data,
    rows: data?.rows,
    trouble: data?.trouble ?? undefined,
    note: data && (data.checkpoint ? t("audit.checkpoint", { when: ago(data.checkpoint.at) }) : t("audit.no_checkpoint")),
  };
}

export function useEdges(): { data: (EdgeState & { headline: string; note: string }) | undefined } {
  return { data: undefined };
}
