import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import en from "@/app/locales/en.json";
import type pages from "@/app/locales/en-pages.json";
import { type Language, languageOf, usePreferences } from "@/features/preferences/preferences";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: typeof en & typeof pages };
  }
}

// Adds the English texts of pages that a first visit does not show. The Chinese ones are in one file.
export async function loadTextsOfPages(): Promise<void> {
  const { default: texts } = await import("@/app/locales/en-pages.json");
  i18next.addResourceBundle("en", "translation", texts, true);
}

async function use(language: Language): Promise<void> {
  if (language === "zh-CN" && !i18next.hasResourceBundle(language, "translation")) {
    const { default: messages } = await import("@/app/locales/zh-CN.json");
    i18next.addResourceBundle(language, "translation", messages);
  }
  await i18next.changeLanguage(language);
  document.documentElement.lang = language;
}

export async function startI18n(): Promise<void> {
  await i18next.use(initReactI18next).init({
    lng: "en",
    fallbackLng: "en",
    resources: { en: { translation: en } },
    // React escapes what it renders.
    interpolation: { escapeValue: false },
  });
  usePreferences.subscribe((now, before) => {
    if (languageOf(now) !== languageOf(before)) void use(languageOf(now));
  });
  await use(languageOf(usePreferences.getState()));
}
