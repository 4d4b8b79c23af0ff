import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import en from "@/lib/locales/en.json";
import { type Language, usePreferences } from "@/lib/preferences";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: typeof en };
  }
}

async function use(language: Language): Promise<void> {
  if (language === "zh-CN" && !i18next.hasResourceBundle(language, "translation")) {
    const { default: messages } = await import("@/lib/locales/zh-CN.json");
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
  usePreferences.subscribe(({ language }, before) => {
    if (language !== before.language) void use(language);
  });
  await use(usePreferences.getState().language);
}
