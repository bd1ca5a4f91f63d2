// The public half, in the forms that people need it in.
import { useMemo } from "react";
import { encode } from "uqr";
import { useWords } from "../i18n";
import { CodeBlock, Tabs } from "../kit";

export function PublicKey({ jwk, pem }: { jwk: Record<string, unknown>; pem: string | null }) {
  const { t } = useWords();
  return (
    <Tabs
      label={t("key.public")}
      tabs={[
        { key: "jwk", label: "JWK", content: <CodeBlock text={JSON.stringify(jwk, null, 2)} label="JWK" testId="jwk" packed /> },
        ...(pem ? [{ key: "pem", label: "PEM", content: <CodeBlock text={pem} label="PEM" testId="pem" packed /> }] : []),
        { key: "qr", label: t("key.qr"), content: <Qr text={JSON.stringify(jwk)} label={t("key.qr_label")} /> },
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
