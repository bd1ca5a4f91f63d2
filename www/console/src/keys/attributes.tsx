// What the HSM itself says of the private key.
import { Check, X } from "lucide-react";
import { useResource } from "../api/queries";
import type { KeyAttributes } from "../api/types";
import { useWords } from "../i18n";
import { Facts, Loading, Refusal } from "../kit";

export function Attributes({ kid }: { kid: string }) {
  const { t } = useWords();
  const attributes = useResource<KeyAttributes>(`/admin/v1/keys/${encodeURIComponent(kid)}/attributes`);
  if (attributes.isPending) return <Loading />;
  if (!attributes.data) return <Refusal error={attributes.error} retry={() => void attributes.refetch()} />;
  const shown = (value: unknown) => {
    if (value === true) return <span className="yes"><Check size={15} aria-hidden /> {t("common.yes")}</span>;
    if (value === false) return <span className="no"><X size={15} aria-hidden /> {t("common.no")}</span>;
    return value === null || value === undefined ? <span className="muted">{t("key.not_reported")}</span> : <code>{String(value)}</code>;
  };
  return <Facts wide rows={Object.entries(attributes.data.attributes).map(([name, value]) => [name, shown(value)])} />;
}
