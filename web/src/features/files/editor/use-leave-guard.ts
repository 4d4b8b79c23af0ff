import { App } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useBlocker } from "react-router";

// Asks before unsaved text is lost: by the browser when the page closes, by a dialog within the
// console.
export function useLeaveGuard(changed: boolean): void {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const blocker = useBlocker(changed);
  useEffect(() => {
    if (!changed) return undefined;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [changed]);

  useEffect(() => {
    if (blocker.state !== "blocked") return undefined;
    const asked = modal.confirm({
      title: t("editor.leaveAsk"),
      content: t("editor.leaveText"),
      okText: t("editor.leave"),
      okButtonProps: { danger: true },
      cancelText: t("editor.stay"),
      focusable: { autoFocusButton: "cancel" },
      onOk: () => blocker.proceed(),
      onCancel: () => blocker.reset(),
    });
    return () => asked.destroy();
  }, [blocker, modal, t]);
}
