import { App } from "antd";
import { useTranslation } from "react-i18next";
import { logOut } from "@/api/session";
import { FailureNote } from "@/components/ui/failure-note";

export function useLogOut(): () => void {
  const { t } = useTranslation();
  const { notification } = App.useApp();
  return () => {
    logOut().catch((error: unknown) => {
      notification.error({
        title: t("shell.logOutFailed"),
        description: <FailureNote error={error} />,
      });
    });
  };
}
