import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { App, ConfigProvider } from "antd";
import type { Locale } from "antd/es/locale";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { ApiError, isProblem, isUnreachable } from "@/api/problem";
import { antdTheme } from "@/app/antd-theme";
import { languageOf, usePreferences } from "@/features/preferences/preferences";
import { useConsoleFormat } from "@/features/preferences/use-console-format";
import { usePrefersDark } from "@/features/preferences/use-prefers-dark";
import { DarkThemeProvider } from "@/lib/theme";
import { FormatProvider } from "@/lib/use-format";
import { useMedia } from "@/lib/use-media";

const RETRIES = 2;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      // The gateway rejects the same request again. Retry only if it did not answer or failed.
      retry: (failures, error) =>
        failures < RETRIES &&
        (!(error instanceof ApiError) ||
          isUnreachable(error) ||
          isProblem(error, "/problems/internal-error")),
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

function useAntdLocale(): Locale | undefined {
  const language = usePreferences(languageOf);
  const [locale, setLocale] = useState<Locale>();
  useEffect(() => {
    let current = true;
    if (language === "zh-CN") {
      void import("@/app/antd-zh-cn").then(({ zhCN }) => current && setLocale(zhCN));
    } else {
      setLocale(undefined);
    }
    return () => {
      current = false;
    };
  }, [language]);
  return locale;
}

export function Providers({ children }: { children: ReactNode }) {
  const dark = usePrefersDark();
  const locale = useAntdLocale();
  const format = useConsoleFormat();
  const animated = !useMedia("(prefers-reduced-motion: reduce)");
  const theme = useMemo(() => antdTheme(dark, animated), [dark, animated]);
  useEffect(() => {
    document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  }, [dark]);
  return (
    <QueryClientProvider client={queryClient}>
      <ConfigProvider
        theme={theme}
        // Ant Design's own container is attached late, so that `autoFocus` in a dialog has no effect.
        getPopupContainer={() => document.body}
        button={{ autoInsertSpace: false }}
        {...(locale ? { locale } : {})}
      >
        <DarkThemeProvider value={dark}>
          <FormatProvider value={format}>
            <App component={false}>{children}</App>
          </FormatProvider>
        </DarkThemeProvider>
      </ConfigProvider>
    </QueryClientProvider>
  );
}
