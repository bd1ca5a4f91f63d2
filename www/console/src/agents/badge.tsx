import type { Agent } from "../api/types";
import { useWords } from "../i18n";
import { Badge } from "../kit";

export function AgentBadge({ of: { revoked_at, certificates, not_after, origin }, now }: { of: Agent; now: number }) {
  const { t } = useWords();
  if (revoked_at) return <Badge tone="bad">{t("agents.revoked")}</Badge>;
  if (not_after && Date.parse(not_after) < now) return <Badge tone="warn">{t("agents.expired")}</Badge>;
  if (certificates > 0) return <Badge tone="good">{t("agents.may_ask")}</Badge>;
  return origin === "configuration" ? <Badge tone="good">{t("agents.may_ask")}</Badge> : <Badge tone="info" hollow>{t("agents.invited")}</Badge>;
}
