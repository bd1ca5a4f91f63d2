import { useWords } from "../i18n";
import { PageHead } from "../kit";
export default function Edges() {
  const { t } = useWords();
  return <PageHead title={t("edges.title")} lead={t("edges.lead")} />;
}
