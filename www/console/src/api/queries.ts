// What pages read, and how often they look again.
import { QueryClient, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { ApiProblem } from "./problem";
import { send, session, type Session } from "./session";

export const client = new QueryClient({
  defaultOptions: {
    // The browser's word that it is offline is no reason to wait: nobody would learn that nothing is read any more.
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      staleTime: 1_000,
      refetchOnWindowFocus: true,
      refetchOnReconnect: true,
      // Refusals do not change by being asked again; outages do.
      retry: (count, error) => count < 2 && !(error instanceof ApiProblem && error.problem.status >= 400 && error.problem.status < 500),
      retryDelay: (count) => 500 * 2 ** count,
      throwOnError: false,
    },
  },
});

// What one person read is not the next one's. Before any page hears of it, since those then read anew.
let reader = session.get()?.user?.name;
session.subscribe(() => {
  const name = session.get()?.user?.name;
  if (name === reader) return;
  reader = name;
  client.clear();
});

/** What stands in the audit log each time that it is read: once, when its page is opened. */
const ONCE = { staleTime: Infinity, gcTime: 0, refetchOnWindowFocus: false, refetchOnReconnect: false, retry: false } as const;

/** A resource by its path, read again every so many seconds while the page is looked at. */
export function useResource<Answer>(path: string, { every, enabled = true, once = false }: { every?: number; enabled?: boolean; once?: boolean } = {}): UseQueryResult<Answer> {
  return useQuery({
    queryKey: [path],
    queryFn: () => send<Answer>("GET", path, undefined, once),
    enabled,
    ...(every !== undefined && { refetchInterval: every * 1_000 }),
    ...(once && ONCE),
  });
}

/** Makes what begins with these paths be read again. */
export function useAgain(): (...paths: string[]) => Promise<void> {
  const queries = useQueryClient();
  return async (...paths) => {
    await Promise.all(paths.map((path) => queries.invalidateQueries({ predicate: ({ queryKey }) => String(queryKey[0]).startsWith(path) })));
  };
}

export function useSession(): Session | undefined {
  return useSyncExternalStore(session.subscribe, session.get);
}

/** Whether the signer would let this person do that: `POST /admin/v1/keys/{key}:compromise`. */
export function useMay(): (operation: string) => boolean {
  const allowed = useSession()?.allowed?.map(plain);
  return (operation) => allowed?.includes(plain(operation)) ?? true;
}

/** Whether the signer asks for the passkey again before that: its own list says so. */
export function useAsksPasskey(): (operation: string) => boolean {
  const dangerous = useSession()?.dangerous?.map(plain);
  return (operation) => dangerous?.includes(plain(operation)) ?? false;
}

/** Names of parameters are a matter of taste: only the places count. */
function plain(operation: string): string {
  return operation.replace(/\{[^}]*\}/g, "{}");
}
