import { SlidersHorizontal } from "lucide-react";
import { Link } from "wouter";
import { useResource } from "../api/queries";
import type { Issuer, Profile } from "../api/types";
import { useWords } from "../i18n";
import { Badge, Chip, Empty, Facts, Loading, PageHead, Panel, Refusal, Short } from "../kit";

export default function Profiles() {
  const { t, span, number } = useWords();
  const profiles = useResource<{ profiles: Profile[] }>("/admin/v1/profiles", { every: 10 });
  const issuers = useResource<{ issuers: Issuer[] }>("/admin/v1/issuers", { every: 30 });
  const list = profiles.data?.profiles ?? [];
  return (
    <div className="page">
      <PageHead title={t("profiles.title")} lead={t("profiles.lead")} />
      <Refusal error={profiles.error ?? issuers.error} retry={() => void profiles.refetch()} />
      {profiles.isPending && <Loading />}
      {profiles.data && list.length === 0 && (
        <Panel>
          <Empty icon={SlidersHorizontal} title={t("profiles.none")}>
            {t("profiles.none_lead")}
          </Empty>
        </Panel>
      )}
      {(issuers.data?.issuers ?? []).map(({ name, issuer, jwks_uri, algorithms }) => (
        <section key={name} className="issuer" aria-label={issuer}>
          <div className="issuer-head">
            <h2>{issuer}</h2>
            <a href={jwks_uri} target="_blank" rel="noreferrer" className="small">
              {t("profiles.jwks", { n: number(algorithms.length) })}
            </a>
          </div>
          <div className="cards">
            {list
              .filter((profile) => profile.issuer === issuer)
              .map((profile) => (
                <Panel key={profile.name} title={profile.name} note={<Chip>{profile.algorithm}</Chip>}>
                  <Facts
                    rows={[
                      [t("profiles.signs"), profile.kid ? <Link key="kid" href={`/keys/${encodeURIComponent(profile.kid)}`}><Short text={profile.kid} head={8} /></Link> : <Badge key="none" tone="bad">{t("timeline.nobody")}</Badge>],
                      [t("profiles.lifetime"), span(profile.max_lifetime)],
                      [t("profiles.rotation"), profile.rotate_after ? t("profiles.every", { span: span(profile.rotate_after) }) : t("profiles.by_hand")],
                    ]}
                  />
                </Panel>
              ))}
          </div>
        </section>
      ))}
    </div>
  );
}
