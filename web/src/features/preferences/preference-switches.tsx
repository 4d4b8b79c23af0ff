import { Segmented } from "antd";
import { useTranslation } from "react-i18next";
import {
  choose,
  type Language,
  languageOf,
  type Theme,
  usePreferences,
} from "@/features/preferences/preferences";

export function LanguageSwitch() {
  const { t } = useTranslation();
  const language = usePreferences(languageOf);
  return (
    <Segmented<Language>
      aria-label={t("settings.language")}
      value={language}
      onChange={(chosen) => choose({ language: chosen })}
      options={[
        { value: "en", label: "English" },
        { value: "zh-CN", label: "简体中文" },
      ]}
    />
  );
}

export function ThemeSwitch() {
  const { t } = useTranslation();
  const theme = usePreferences((preferences) => preferences.theme);
  return (
    <Segmented<Theme>
      aria-label={t("settings.theme")}
      value={theme}
      onChange={(chosen) => choose({ theme: chosen })}
      options={[
        { value: "light", label: t("theme.light") },
        { value: "dark", label: t("theme.dark") },
        { value: "system", label: t("theme.system") },
      ]}
    />
  );
}
