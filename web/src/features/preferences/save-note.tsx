import { App } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import { usePreferences } from "@/features/preferences/preferences";
import { save, useSaving } from "@/features/preferences/saving";

// Confirms that choices were saved, or says why they were not.
export function SaveNote() {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const { phase, error } = useSaving();
  // Choices that the gateway refused are no longer there to be saved.
  const pending = usePreferences(({ unsaved }) => unsaved.length > 0);
  useEffect(
    () =>
      useSaving.subscribe((now, before) => {
        if (now.phase !== "saved" || before.phase === "saved") return;
        void message.success({ key: "preferences", content: t("settings.saved") });
      }),
    [message, t],
  );
  if (phase !== "failed") return null;
  return (
    <>
      {pending && <p>{t("settings.notSaved")}</p>}
      <FailureNote error={error} onRetry={pending ? () => void save() : undefined} />
    </>
  );
}
