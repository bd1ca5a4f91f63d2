export interface Key {
  kid: string | null; purpose: string; issuer: string; profile: string; agent: string | null; label: string | null;
  alg: string; key: string; origin: string; state: string; cka_id: string; created_at: string;
  published_at: string | null; activated_at: string | null; suspended_at: string | null; demoted_at: string | null; retired_at: string | null;
  destroy_at: string | null; destroyed_at: string | null; compromised_at: string | null; not_after: string | null;
  max_lifetime: number; can_sign_from: string | null; until: string | null; rotation: string | null;
}
export interface Approval { proposal: string; action: string; kid: string; detail: { days?: number }; proposer: string; proposed_at: string; approve_until: string; decision: string | null; decided_by: string | null; decided_at: string | null }
export interface Activity {
  ready: boolean; not_ready: string | null; started_at: string; version: string;
  tokens: { profile: string; mode: string; outcome: string; count: number }[];
  phases: { phase: string; count: number; p50: number | null; p95: number | null; p99: number | null }[];
  hsm: { breaker: string; processes: number; threads: number; busy: number; quarantined: number; queued: number; signatures: number; deadlines: number; overflows: number; held_back: number; restarts: number; logins: number; retries: { handle: number; session: number; module: number; throttled: number } };
}
export interface EdgeState { late: string[] }
export interface KeyDetail { jwk: Record<string, unknown>; pem: string }
export interface KeyAttributes { attributes: Record<string, unknown> }
export interface Profile {
  name: string; issuer: string; algorithm: string; key?: string; default_lifetime?: number; max_lifetime: number; rotate_after: number | null;
  kid: string | null; audiences?: string[]; typ?: string | null; modes?: string[]; max_session?: number | null; publish_ahead?: number;
}
export interface Policy { profiles: string[]; audiences?: string[] | null; max_lifetime?: number | null; required_claims?: string[]; forbidden_claims?: string[]; rate?: number | null }
export interface Agent { agent: string; profiles: string[]; origin: string; revoked_at: string | null; certificates: number; not_after: string | null; policy?: Policy | null }
export interface AgentCertificate { fingerprint: string; not_after: string; revoked_at: string | null }
export interface Invited { code: string; command: string; expires_at: string }
export interface User { name: string; display_name: string | null; role: "administrator" | "operator" | "auditor"; disabled: boolean; created_at: string; last_login_at: string | null; passkeys: number; recovery_codes_left: number; sessions: number; invited: boolean }
export interface AuditRow { chain: string; seq: number; at: string; actor: string; action: string; subject: string; digest?: string; detail?: Record<string, unknown>; hash: string; prev?: string }
export interface AuditPage { rows: AuditRow[]; next: string | null }
export interface AuditStatus { chains: { chain: string; seq: number; hash: string }[]; rows: number; checkpoint: { at: string; kid: string } | null; trouble: string | null }
