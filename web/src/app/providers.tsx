import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { App, ConfigProvider } from "antd";
import type { Locale } from "antd/es/locale";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { ApiError } from "@/api/problem";
import { antdTheme } from "@/app/antd-theme";
import { usePreferences } from "@/lib/preferences";
import { useDark } from "@/lib/theme";

const RETRIES = 2;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      // What the gateway refused once it refuses again; only silence and faults are worth a retry.
      retry: (failures, error) =>
        failures < RETRIES &&
        !(error instanceof ApiError && (error.status < 500 || error.agentFailure)),
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

function useAntdLocale(): Locale | undefined {
  const language = usePreferences((preferences) => preferences.language);
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
  const dark = useDark();
  const locale = useAntdLocale();
  const theme = useMemo(() => antdTheme(dark), [dark]);
  useEffect(() => {
    document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  }, [dark]);
  return (
    <QueryClientProvider client={queryClient}>
      <ConfigProvider
        theme={theme}
        button={{ autoInsertSpace: false }}
        {...(locale ? { locale } : {})}
      >
        <App component={false}>{children}</App>
      </ConfigProvider>
    </QueryClientProvider>
  );
}
