import { Button, Checkbox } from "antd";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/files/editor/editor.module.css";
import type { TextFile } from "@/features/files/editor/use-text-file";
import { baseName } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  path: string;
  file: TextFile;
  canWrite: boolean;
  wrap: boolean;
  onWrap: (wrap: boolean) => void;
  onDownload: () => void;
  onClose: () => void;
}

export function EditorHeader(props: Props) {
  const { path, file, canWrite, wrap, onWrap, onDownload, onClose } = props;
  const { t } = useTranslation();
  return (
    <header>
      <Button
        type="text"
        icon={<Icon name="left" size={16} />}
        aria-label={t("editor.close")}
        onClick={onClose}
      />
      <h2 title={escapeInvisible(path)}>{escapeInvisible(baseName(path))}</h2>
      <span role="status" data-testid="editor-state">
        <EditorState file={file} canWrite={canWrite} />
      </span>
      <span className={styles.tools}>
        <Checkbox checked={wrap} onChange={({ target }) => onWrap(target.checked)}>
          {t("action.wrapLines")}
        </Checkbox>
        <Button icon={<Icon name="download" size={14} />} onClick={onDownload}>
          {t("files.download")}
        </Button>
        {canWrite && (
          <Button
            type="primary"
            disabled={!file.changed || file.conflict !== null}
            loading={file.saving}
            onClick={file.save}
          >
            {t("action.save")}
          </Button>
        )}
      </span>
    </header>
  );
}

function EditorState({ file, canWrite }: Pick<Props, "file" | "canWrite">) {
  const { t } = useTranslation();
  if (file.saving) return t("editor.saving");
  if (file.changed) return t("editor.changed");
  if (file.saved) return t("editor.saved");
  return file.loaded && !canWrite ? t("editor.readOnly") : null;
}
