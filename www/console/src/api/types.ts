// Shapes of the administrators' interface, by the names of its OpenAPI document: `schema.d.ts` is made of it by the build.
import type { components } from "./schema";

type Schemas = components["schemas"];
/** The signer writes every member, null where there is nothing; the document calls these optional. */
type Whole<T> = T extends (infer Item)[] ? Whole<Item>[] : T extends object ? { [Name in keyof T]-?: Whole<Exclude<T[Name], undefined>> } : T;
type Except<T, Changes> = Omit<T, keyof Changes> & Changes;

export type Key = Whole<Schemas["Key"]>;
export type KeyDetail = Except<Whole<Schemas["KeyDetail"]>, { jwk: Record<string, unknown> | null }>;
export type KeyStep = Whole<Schemas["KeyStep"]>;
export type Share = Whole<Schemas["KeyShare"]>;
export type HsmAttribute = Whole<Schemas["HsmAttribute"]>;
export type Approval = Except<Whole<Schemas["Approval"]>, { detail: { days?: number } }>;
export type Issuer = Whole<Schemas["Issuer"]>;
export type Profile = Except<Whole<Schemas["Profile"]>, { settings: ProfileSettings }>;
/** Those for which tokens are signed. */
export const inUse = (profiles: Profile[] | undefined) => (profiles ?? []).filter(({ retired_at }) => !retired_at);
/** Who is behind a name of the log: `local:alice` and `admin:alice` are one person to the signer. */
export const personOf = (actor: string) => actor.replace(/^[a-z]+:/, "");
export type ProfileSettings = Schemas["ProfileSettings"];
export type Mode = Schemas["Mode"];
export type Policy = Schemas["AgentPolicy"];
export type Agent = Except<Whole<Schemas["Agent"]>, { policy: Policy | null }>;
export type AgentInvitation = Whole<Schemas["AgentInvitation"]>;
export type Activity = Whole<Schemas["Activity"]>;
export type Edge = Whole<Schemas["Edge"]>;
export type Revocation = Whole<Schemas["Revocation"]>;
export type AuditRow = Except<Whole<Schemas["AuditRow"]>, { detail: Record<string, unknown> }>;
export type AuditPage = { rows: AuditRow[]; next: string | null };
export type AuditStatus = Whole<Schemas["AuditStatus"]>;
export type LedgerEntry = Whole<Schemas["KeyLedgerEntry"]>;
export type User = Whole<Schemas["UserView"]>;
