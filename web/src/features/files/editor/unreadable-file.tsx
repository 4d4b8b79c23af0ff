import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { isProblem } from "@/api/problem";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { useFormat } from "@/lib/use-format";

const MAX_SIZE = 1024 * 1024; // bytes; the gateway's limit

interface Props {
  error: Error;
  onRetry: () => void;
  onDownload: () => void;
}

// Shown in place of a file that the editor cannot open.
export function UnreadableFile({ error, onRetry, onDownload }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const tooLarge = isProblem(
    error,
    "/problems/file-too-large-to-edit",
    "/problems/agent-too-large",
  );
  const notText = isProblem(error, "/problems/file-not-text", "/problems/agent-invalid");
  if (!tooLarge && !notText) return <FailureNote error={error} onRetry={onRetry} />;
  return (
    <EmptyState
      icon="file"
      title={t(tooLarge ? "editor.tooLarge" : "editor.notText")}
      text={t("editor.downloadInstead", { size: format.size(MAX_SIZE) })}
    >
      <Button type="primary" onClick={onDownload}>
        {t("files.download")}
      </Button>
    </EmptyState>
  );
}
