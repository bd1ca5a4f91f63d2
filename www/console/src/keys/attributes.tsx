// What the HSM itself says of the pair, attribute by attribute.
import { Check, X } from "lucide-react";
import type { HsmAttribute } from "../api/types";
import { useWords } from "../i18n";
import { Facts, Notice, Tabs } from "../kit";

export function Attributes({ attributes, trouble }: { attributes: HsmAttribute[] | null; trouble: string | null }) {
  const { t, word } = useWords();
  if (!attributes) {
    return (
      <Notice tone="warn" title={t("hsm.trouble")}>
        <p>{trouble}</p>
      </Notice>
    );
  }
  if (attributes.length === 0) return <p className="muted">{t("hsm.nothing")}</p>;
  const objects = [...new Set(attributes.map(({ object }) => object))];
  return (
    <Tabs
      label={t("key.attributes")}
      tabs={objects.map((object) => ({
        key: object,
        label: word("object", object.replace(" ", "_")),
        content: <Facts look="wide attributes" rows={attributes.filter((one) => one.object === object).map(({ name, value }) => [name, <Value key={name} value={value} />])} />,
      }))}
    />
  );
}

function Value({ value }: { value: string }) {
  const { t } = useWords();
  if (value !== "true" && value !== "false") return <code className="small">{value}</code>;
  return (
    <span className={value === "true" ? "yes" : "no"}>
      {value === "true" ? <Check size={15} aria-hidden /> : <X size={15} aria-hidden />} {value === "true" ? t("common.yes") : t("common.no")}
    </span>
  );
}
