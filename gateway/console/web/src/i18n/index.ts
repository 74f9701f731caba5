/**
 * English and Brazilian Portuguese. Each view keeps its texts beside it, both languages in one file; `Words` makes a
 * text that is missing in one of them a compile error.
 */
import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import * as tryIt from "../views/try/text";
import * as use from "../views/use/text";
import * as watch from "../views/watch/text";
import * as common from "./common";

export type Language = "en" | "pt-BR";

export const LANGUAGES: Record<Language, string> = { en: "English", "pt-BR": "Português" };

const texts = { common, try: tryIt, watch, use };
type Texts = typeof texts;
type English = { [Name in keyof Texts]: Texts[Name]["en"] };

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "common";
    resources: English;
  }
}

const KEPT = "console.language";

export function startLanguages(): void {
  const of = (language: "en" | "pt") =>
    Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, text[language]]));
  void i18next.use(initReactI18next).init({
    lng: preferred(),
    fallbackLng: "en",
    defaultNS: "common",
    resources: { en: of("en"), "pt-BR": of("pt") },
    interpolation: { escapeValue: false }, // React does
    initAsync: false,
  });
  document.documentElement.lang = i18next.language;
}

export function changeLanguage(language: Language): void {
  void i18next.changeLanguage(language);
  document.documentElement.lang = language;
  localStorage.setItem(KEPT, language);
}

/** The one chosen here before, or the first of the browser's that there is. */
function preferred(): Language {
  const kept = localStorage.getItem(KEPT);
  if (kept !== null && kept in LANGUAGES) return kept as Language;
  for (const wanted of navigator.languages) {
    if (wanted.startsWith("pt")) return "pt-BR";
    if (wanted.startsWith("en")) return "en";
  }
  return "en";
}
