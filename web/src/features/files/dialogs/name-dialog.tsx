import { Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type FileEntry, fileActions, putContent } from "@/api/files";
import { useBatch } from "@/features/files/browser/use-batch";
import { ActionDialog } from "@/features/files/dialogs/action-dialog";
import styles from "@/features/files/dialogs/dialogs.module.css";
import type { DialogProps, Naming } from "@/features/files/dialogs/intent";
import { joined, nameFault } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props extends DialogProps {
  intent: Naming;
  entries: readonly FileEntry[];
  onOpenFile: (name: string) => void;
}

export function NameDialog({ vps, folder, intent, entries, onOpenFile, onClose }: Props) {
  const { t } = useTranslation();
  const before = intent.kind === "rename" ? intent.entry.name : "";
  const [name, setName] = useState(before);
  const batch = useBatch<string>(vps.id);
  const fault = nameFault(name);
  const isThere = name !== before && entries.some((entry) => entry.name === name);

  const carryOut = async (overwrite: boolean) => {
    const path = joined(folder, name);
    const done = await batch.run(
      [name],
      () => {
        if (intent.kind === "folder") return fileActions.makeFolder(vps.id, path);
        if (intent.kind === "file") return putContent(vps.id, path, { content: "", version: null });
        const transfer = { path: joined(folder, before), destination: path, overwrite };
        return fileActions.rename(vps.id, transfer);
      },
      overwrite,
    );
    if (!done) return;
    onClose();
    if (intent.kind === "file") onOpenFile(name);
  };

  const problem =
    fault && name !== ""
      ? t(`files.nameFault.${fault}`)
      : isThere
        ? t("files.exists", { name: escapeInvisible(name) })
        : null;
  return (
    <ActionDialog
      title={t(`files.title.${intent.kind}`, {
        name: escapeInvisible(before),
        folder: escapeInvisible(folder),
      })}
      okText={t(`files.submit.${intent.kind}`)}
      disabled={fault !== null || name === before || (isThere && intent.kind !== "rename")}
      batch={batch}
      nameOf={(item) => item}
      onReplace={intent.kind === "rename" ? () => void carryOut(true) : undefined}
      onOk={() => void carryOut(false)}
      onClose={onClose}
    >
      <label htmlFor="file-name">{t("files.name")}</label>
      <Input
        id="file-name"
        autoFocus
        autoComplete="off"
        spellCheck={false}
        value={name}
        aria-invalid={problem !== null}
        aria-describedby="file-name-problem"
        onFocus={({ target }) => {
          // Selects the name without its extension.
          const dot = before.lastIndexOf(".");
          target.setSelectionRange(0, dot > 0 ? dot : before.length);
        }}
        onChange={(event) => setName(event.target.value)}
      />
      <p id="file-name-problem" className={styles.problem} aria-live="polite">
        {problem}
      </p>
    </ActionDialog>
  );
}
