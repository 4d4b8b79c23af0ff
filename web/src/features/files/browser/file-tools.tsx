import { Button, Input } from "antd";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import type { FileEntry } from "@/api/files";
import type { Vps } from "@/api/vps";
import { Icon } from "@/components/ui/icons";
import { isArchive } from "@/features/files/browser/entries";
import type { Intent } from "@/features/files/dialogs/intent";
import styles from "@/features/files/files.module.css";
import { joined } from "@/features/files/paths";
import { useUpload } from "@/features/files/uploads/drop-area";

interface Props {
  vps: Vps;
  folder: string;
  canWrite: boolean;
  chosen: readonly FileEntry[];
  filter: string;
  onFilter: (filter: string) => void;
  onIntent: (intent: Intent) => void;
  onDownload: (path: string) => void;
  onClear: () => void;
}

export function FileTools(props: Props) {
  const { vps, folder, canWrite, chosen, filter, onFilter, onIntent, onDownload, onClear } = props;
  const { t } = useTranslation();
  const picker = useRef<HTMLInputElement>(null);
  const upload = useUpload(vps.id, folder);
  const [one] = chosen;
  const single = chosen.length === 1 && one?.kind === "file" ? one : null;
  return (
    <div className={styles.tools}>
      <Input
        allowClear
        className={styles.filter ?? ""}
        prefix={<Icon name="search" size={14} />}
        placeholder={t("files.filter")}
        aria-label={t("files.filter")}
        value={filter}
        onChange={(event) => onFilter(event.target.value)}
      />
      {chosen.length > 0 ? (
        <span className={styles.chosen} role="status">
          <b>{t("files.chosen", { count: chosen.length })}</b>
          {single && (
            <Button
              icon={<Icon name="download" size={14} />}
              onClick={() => onDownload(joined(folder, single.name))}
            >
              {t("files.download")}
            </Button>
          )}
          {canWrite && (
            <>
              {chosen.length === 1 && one && (
                <Button onClick={() => onIntent({ kind: "rename", entry: one })}>
                  {t("files.rename")}
                </Button>
              )}
              {single && isArchive(single) && (
                <Button onClick={() => onIntent({ kind: "extract", entry: single })}>
                  {t("files.extract")}
                </Button>
              )}
              <Button onClick={() => onIntent({ kind: "move", entries: chosen })}>
                {t("files.move")}
              </Button>
              <Button onClick={() => onIntent({ kind: "copy", entries: chosen })}>
                {t("files.copy")}
              </Button>
              <Button onClick={() => onIntent({ kind: "archive", entries: chosen })}>
                {t("files.archive")}
              </Button>
              <Button onClick={() => onIntent({ kind: "permissions", entries: chosen })}>
                {t("files.permissions")}
              </Button>
              <Button danger onClick={() => onIntent({ kind: "delete", entries: chosen })}>
                {t("files.delete")}
              </Button>
            </>
          )}
          <Button
            type="text"
            icon={<Icon name="close" size={14} />}
            aria-label={t("files.clear")}
            onClick={onClear}
          />
        </span>
      ) : (
        canWrite && (
          <span className={styles.chosen}>
            <Button
              type="primary"
              icon={<Icon name="upload" size={14} />}
              onClick={() => picker.current?.click()}
            >
              {t("upload.title")}
            </Button>
            <Button
              icon={<Icon name="folder" size={14} />}
              onClick={() => onIntent({ kind: "folder" })}
            >
              {t("files.newFolder")}
            </Button>
            <Button
              icon={<Icon name="file" size={14} />}
              onClick={() => onIntent({ kind: "file" })}
            >
              {t("files.newFile")}
            </Button>
          </span>
        )
      )}
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        aria-label={t("upload.title")}
        onChange={({ target }) => {
          upload([...(target.files ?? [])]);
          // Allows choosing the same file again.
          target.value = "";
        }}
      />
    </div>
  );
}
