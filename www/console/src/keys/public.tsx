// The public half, in the forms that people need it in.
import { encode } from "uqr";
import { useMemo } from "react";
import { useResource } from "../api/queries";
import type { KeyDetail } from "../api/types";
import { useWords } from "../i18n";
import { CodeBlock, Loading, Refusal, Tabs } from "../kit";

export function PublicKey({ kid }: { kid: string }) {
  const { t } = useWords();
  const detail = useResource<KeyDetail>(`/admin/v1/keys/${encodeURIComponent(kid)}/public`);
  if (detail.isPending) return <Loading />;
  if (!detail.data) return <Refusal error={detail.error} retry={() => void detail.refetch()} />;
  const { jwk, pem } = detail.data;
  const text = JSON.stringify(jwk);
  return (
    <Tabs
      label={t("key.public")}
      tabs={[
        { key: "jwk", label: "JWK", content: <CodeBlock text={JSON.stringify(jwk, null, 2)} label="JWK" testId="jwk" /> },
        { key: "pem", label: "PEM", content: <CodeBlock text={pem} label="PEM" testId="pem" /> },
        { key: "qr", label: t("key.qr"), content: <Qr text={text} label={t("key.qr_label")} /> },
      ]}
    />
  );
}

/** The JWK as a QR code: dark on white in either theme, since readers want it so. */
function Qr({ text, label }: { text: string; label: string }) {
  const { size, path } = useMemo(() => {
    const { data, size } = encode(text, { ecc: "L", border: 2 });
    const cells: string[] = [];
    data.forEach((row, y) => row.forEach((dark, x) => dark && cells.push(`M${x} ${y}h1v1h-1z`)));
    return { size, path: cells.join("") };
  }, [text]);
  return (
    <svg className="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shapeRendering="crispEdges" data-testid="qr">
      <path d={path} fill="#000" />
    </svg>
  );
}
