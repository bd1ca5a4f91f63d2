// Two complete dictionaries; which one, is the browser's wish until somebody chooses. Numbers and dates are Intl's.
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { en, type Key } from "./en";

export type { Key };
export const LANGUAGES = { en: "English", ko: "한국어" } as const;
export type Language = keyof typeof LANGUAGES;
type Values = Record<string, string | number>;

export interface Words {
  language: Language;
  choose: (language: Language) => void;
  t: (key: Key, values?: Values) => string;
  /** Of the keys `KEY.one` and `KEY.other` the one that fits the number. */
  n: (key: PluralKey, count: number, values?: Values) => string;
  /** A word of the signer (a state, a role): translated where there is a translation. */
  word: (group: string, value: string) => string;
  date: (at: string | number | Date | null | undefined) => string;
  day: (at: string | number | Date | null | undefined) => string;
  clock: (at: string | number | Date | null | undefined) => string;
  ago: (at: string | number | Date | null | undefined, now?: number) => string;
  number: (value: number, options?: Intl.NumberFormatOptions) => string;
  span: (seconds: number) => string;
  list: (items: string[]) => string;
}

type PluralKey = { [K in Key]: K extends `${infer Stem}.other` ? Stem : never }[Key];

const Context = createContext<Words | undefined>(undefined);
const STORE = "edgeseal-language";

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(initial);
  const [dictionary, setDictionary] = useState<Record<Key, string> | undefined>(language === "en" ? en : undefined);
  useEffect(() => {
    document.documentElement.lang = language;
    let stale = false;
    if (language === "en") setDictionary(en);
    else {
      void import("./ko").then(
        ({ ko }) => stale || setDictionary(ko),
        // English is here. What was chosen is kept for the next time.
        () => stale || setLanguage("en"),
      );
    }
    return () => void (stale = true);
  }, [language]);
  const words = useMemo(() => dictionary && wordsOf(language, dictionary, choose), [language, dictionary]);
  function choose(next: Language) {
    localStorage.setItem(STORE, next);
    setLanguage(next);
  }
  return words ? <Context value={words}>{children}</Context> : null;
}

export function useWords(): Words {
  const words = useContext(Context);
  if (!words) throw new Error("no LanguageProvider");
  return words;
}

function initial(): Language {
  const chosen = localStorage.getItem(STORE);
  if (chosen === "en" || chosen === "ko") return chosen;
  return navigator.languages.find((language) => /^(en|ko)\b/.test(language))?.startsWith("ko") ? "ko" : "en";
}

function wordsOf(language: Language, dictionary: Record<Key, string>, choose: (language: Language) => void): Words {
  const plural = new Intl.PluralRules(language);
  const full = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const dayOnly = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
  const clockOnly = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "long" });
  const lists = new Intl.ListFormat(language, { type: "conjunction" });
  const look = (key: string): string | undefined => (dictionary as Record<string, string>)[key];
  const fill = (text: string, values: Values = {}) => text.replace(/\{(\w+)\}/g, (hole, name: string) => (name in values ? String(values[name]) : hole));
  const number = (value: number, options?: Intl.NumberFormatOptions) => new Intl.NumberFormat(language, options).format(value);
  const when = (at: string | number | Date | null | undefined, format: Intl.DateTimeFormat) => {
    if (at === null || at === undefined) return "–";
    const date = new Date(at);
    return Number.isNaN(date.getTime()) ? "–" : format.format(date);
  };
  return {
    language,
    choose,
    t: (key, values) => fill(dictionary[key], values),
    n: (key, count, values) => fill(look(`${key}.${plural.select(count)}`) ?? look(`${key}.other`) ?? key, { n: number(count), ...values }),
    word: (group, value) => look(`${group}.${value}`) ?? value.replaceAll("_", " "),
    date: (at) => when(at, full),
    day: (at) => when(at, dayOnly),
    clock: (at) => when(at, clockOnly),
    ago: (at, now = Date.now()) => {
      if (at === null || at === undefined) return "–";
      const seconds = Math.round((new Date(at).getTime() - now) / 1000);
      const [size, unit] = unitOf(Math.abs(seconds));
      return relative.format(Math.trunc(seconds / size), unit);
    },
    number,
    span: (seconds) => {
      const [size, unit] = unitOf(seconds);
      return number(Math.round((seconds / size) * 10) / 10, { style: "unit", unit, unitDisplay: "long" });
    },
    list: (items) => lists.format(items),
  };
}

function unitOf(seconds: number): [number, "second" | "minute" | "hour" | "day"] {
  if (seconds < 60) return [1, "second"];
  if (seconds < 3_600) return [60, "minute"];
  if (seconds < 2 * 86_400) return [3_600, "hour"];
  return [86_400, "day"];
}
