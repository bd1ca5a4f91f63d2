// PURE. The signer writes the ledger of keys in English, out of a closed list of phrases: `ledger.` in the dictionaries has them all.
import { en, type Key } from "./en.ts"; // with its ending: a test reads this file without a bundler

const PHRASES = (Object.keys(en) as Key[]).filter((key) => key.startsWith("ledger.")).map((key) => [key, patternOf(en[key])] as const);

/** A phrase of the ledger in the page's language. What is none stays as it is. */
export function phrase(text: string, t: (key: Key, values?: Record<string, string>) => string): string {
  for (const [key, pattern] of PHRASES) {
    const found = pattern.exec(text);
    if (!found) continue;
    const { protection, ...values } = found.groups ?? {};
    return t(key, { ...values, ...(protection && { protection: phrase(protection, t) }) });
  }
  return text;
}

function patternOf(english: string): RegExp {
  return new RegExp(`^${english.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{(\w+)\}/g, "(?<$1>.+?)")}$`);
}
