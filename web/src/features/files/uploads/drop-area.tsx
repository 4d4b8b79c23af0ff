import { App } from "antd";
import { type DragEvent, type ReactNode, useCallback, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/files/files.module.css";
import { MAX_WAITING } from "@/features/files/uploads/uploader";
import { uploader } from "@/features/files/uploads/uploads";
import { escapeInvisible } from "@/lib/escape-invisible";

// Returns a function that starts uploads, and warns about files that were left out.
export function useUpload(server: string, folder: string): (files: readonly File[]) => void {
  const { t } = useTranslation();
  const { message } = App.useApp();
  return useCallback(
    (files) => {
      const left = uploader.add(server, folder, files);
      if (left > 0) void message.warning(t("upload.tooMany", { n: left, most: MAX_WAITING }));
    },
    [server, folder, message, t],
  );
}

interface Props {
  vps: Vps;
  folder: string;
  canWrite: boolean;
  children: ReactNode;
}

export function DropArea({ vps, folder, canWrite, children }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const upload = useUpload(vps.id, folder);
  const [over, setOver] = useState(false);
  // Every child element sends enter and leave events of its own.
  const depth = useRef(0);
  const holdsFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files");
  const leave = (by: number) => {
    depth.current = Math.max(0, depth.current + by);
    setOver(depth.current > 0);
  };

  const drop = (event: DragEvent) => {
    event.preventDefault();
    depth.current = 0;
    setOver(false);
    if (!canWrite) return;
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const folders = items.filter((item) => item.webkitGetAsEntry()?.isDirectory);
    if (folders.length > 0) void message.warning(t("upload.noFolders"));
    const files = items.filter((item) => !folders.includes(item));
    upload(files.flatMap((item) => item.getAsFile() ?? []));
  };

  return (
    <section
      aria-label={t("server.files")}
      className={styles.drop}
      onDragEnter={(event) => holdsFiles(event) && leave(1)}
      onDragLeave={(event) => holdsFiles(event) && leave(-1)}
      onDragOver={(event) => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        event.dataTransfer.dropEffect = canWrite ? "copy" : "none";
      }}
      onDrop={drop}
    >
      {children}
      {over && (
        <div className={styles.over} aria-hidden="true">
          <Icon name={canWrite ? "upload" : "lock"} size={26} />
          {canWrite
            ? t("upload.drop", { folder: escapeInvisible(folder), server: vps.name })
            : t("files.readOnly")}
        </div>
      )}
    </section>
  );
}
