import { App } from "antd";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";
import { downloadAddress } from "@/api/files";
import { describeFailure } from "@/lib/described-error";
import { openDownload } from "@/lib/download";

// Returns a function that lets the browser download a file, with its own progress.
export function useDownload(server: string): (path: string) => void {
  const { t } = useTranslation();
  const { message } = App.useApp();
  return useCallback(
    (path) => {
      downloadAddress(server, path).then(openDownload, (error: unknown) => {
        const { what, why } = describeFailure(error, t);
        void message.error(`${what}: ${why}`);
      });
    },
    [server, message, t],
  );
}
