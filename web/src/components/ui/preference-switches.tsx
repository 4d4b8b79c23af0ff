import { Segmented } from "antd";
import { useTranslation } from "react-i18next";
import { type Language, type Theme, usePreferences } from "@/lib/preferences";

export function LanguageSwitch() {
  const { t } = useTranslation();
  const language = usePreferences((preferences) => preferences.language);
  return (
    <Segmented<Language>
      aria-label={t("settings.language")}
      value={language}
      onChange={(chosen) => usePreferences.setState({ language: chosen })}
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
      onChange={(chosen) => usePreferences.setState({ theme: chosen })}
      options={[
        { value: "light", label: t("theme.light") },
        { value: "dark", label: t("theme.dark") },
        { value: "system", label: t("theme.system") },
      ]}
    />
  );
}
