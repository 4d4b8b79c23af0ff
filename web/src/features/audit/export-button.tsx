import { useMutation } from "@tanstack/react-query";
import { App, Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import { type AuditFilters, type ExportFormat, exportAudit, MAX_EXPORTED } from "@/api/audit";
import { FailureNote } from "@/components/ui/failure-note";
import { saveFile } from "@/lib/download";
import { useFormat } from "@/lib/use-format";

const FORMATS: readonly ExportFormat[] = ["csv", "ndjson"];

// Saves the entries that match the filters as a file.
export function ExportButton({ filters }: { filters: AuditFilters }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { message, modal } = App.useApp();
  const { mutate, isPending } = useMutation({
    mutationFn: (format: ExportFormat) => exportAudit(filters, format),
    onSuccess: ({ name, content, isPartial }) => {
      saveFile(name, content);
      const most = format.count(MAX_EXPORTED);
      if (isPartial) void message.warning(t("audit.partial", { most }), 10);
    },
    onError: (error) => void modal.error({ title: null, content: <FailureNote error={error} /> }),
  });
  const items = FORMATS.map((format) => ({
    key: format,
    label: t(`audit.exportAs.${format}`),
    onClick: () => mutate(format),
  }));
  return (
    <Dropdown menu={{ items }} trigger={["click"]} disabled={isPending}>
      <Button loading={isPending}>{t("audit.export")}</Button>
    </Dropdown>
  );
}
