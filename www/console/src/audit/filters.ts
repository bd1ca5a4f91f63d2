// PURE. The audit's filters, in the page's address and in its form. In the address moments are instants: a colleague in another
// zone sees the same rows. The form's fields know no zone: they show the time of this machine.

export interface Filters {
  actor: string;
  action: string;
  subject: string;
  from: string;
  to: string;
}

/** What an address asks for; its moments are instants afterwards, however they were written. */
export function filtersIn(address: string): Filters {
  const given = new URLSearchParams(address);
  const text = (name: keyof Filters) => given.get(name)?.trim() ?? "";
  return { actor: text("actor"), action: text("action"), subject: text("subject"), from: instant(text("from")), to: instant(text("to")) };
}

/** The same as a query, of an address or of the signer. */
export function queryOf(filters: Filters): string {
  return new URLSearchParams(Object.entries(filters).filter(([, value]) => value)).toString();
}

/** What the fields show. */
export function typed(filters: Filters): Filters {
  return { ...filters, from: local(filters.from), to: local(filters.to) };
}

/** What the fields say. */
export function meant(draft: Filters): Filters {
  return { actor: draft.actor.trim(), action: draft.action.trim(), subject: draft.subject.trim(), from: instant(draft.from), to: instant(draft.to) };
}

/** RFC 3339 in UTC, to the second. Without a zone it is taken for the time of this machine. */
function instant(text: string): string {
  const at = Date.parse(text);
  return Number.isNaN(at) ? "" : new Date(at).toISOString().replace(/\.\d+Z$/, "Z");
}

/** `datetime-local`'s way to write an instant. */
function local(text: string): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return "";
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString();
  return shifted.slice(0, shifted.slice(17, 19) === "00" ? 16 : 19);
}
