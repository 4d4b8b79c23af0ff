import { Checkbox, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type FileEntry, fileActions } from "@/api/files";
import { useBatch } from "@/features/files/browser/use-batch";
import { ActionDialog } from "@/features/files/dialogs/action-dialog";
import { confirmText } from "@/features/files/dialogs/confirm-text";
import styles from "@/features/files/dialogs/dialogs.module.css";
import type { DialogProps } from "@/features/files/dialogs/intent";
import { octal, parseOctal } from "@/features/files/dialogs/mode";
import { ModeGrid } from "@/features/files/dialogs/mode-grid";
import { joined } from "@/features/files/paths";

interface Props extends DialogProps {
  entries: readonly FileEntry[];
}

// The value that all files share, or an empty text, which leaves each unchanged.
function common(values: readonly string[]): string {
  const [first = ""] = values;
  return values.every((value) => value === first) ? first : "";
}

export function PermissionsDialog({ vps, folder, entries, onClose }: Props) {
  const { t } = useTranslation();
  const shared = common(entries.map(({ mode }) => octal(mode)));
  const [text, setText] = useState(shared);
  const owners = common(entries.map((entry) => entry.owner || String(entry.user_id)));
  const groups = common(entries.map((entry) => entry.group || String(entry.group_id)));
  const [owner, setOwner] = useState(owners);
  const [group, setGroup] = useState(groups);
  const [recursive, setRecursive] = useState(false);
  const batch = useBatch<FileEntry>(vps.id);
  const mode = parseOctal(text);
  const folders = entries.some(({ kind }) => kind === "directory");

  const changesMode = text !== "" && (text !== shared || recursive);
  const newOwner = owner.trim() === owners && !recursive ? "" : owner.trim();
  const newGroup = group.trim() === groups && !recursive ? "" : group.trim();
  const carryOut = async () => {
    const done = await batch.run(entries, async ({ name, kind }) => {
      const path = joined(folder, name);
      const deep = recursive && kind === "directory";
      // The owner is changed first, because that clears the set-user bit.
      if (newOwner !== "" || newGroup !== "") {
        const owned = { path, owner: newOwner, group: newGroup, recursive: deep };
        await fileActions.changeOwner(vps.id, owned);
      }
      if (changesMode && mode !== null) {
        await fileActions.changeMode(vps.id, { path, mode, recursive: deep });
      }
    });
    if (done) onClose();
  };

  return (
    <ActionDialog
      title={confirmText(t, "permissions", entries, vps)}
      okText={t("action.save")}
      disabled={
        (text !== "" && mode === null) || (!changesMode && newOwner === "" && newGroup === "")
      }
      batch={batch}
      nameOf={({ name }) => name}
      onOk={() => void carryOut()}
      onClose={onClose}
    >
      <ModeGrid mode={mode} onMode={(next) => setText(octal(next))} />
      <div className={styles.fields}>
        <div>
          <label htmlFor="octal">{t("files.octal")}</label>
          <Input
            id="octal"
            autoFocus
            inputMode="numeric"
            maxLength={4}
            value={text}
            status={text !== "" && mode === null ? "error" : ""}
            placeholder={t("files.unchanged")}
            onChange={(event) => setText(event.target.value)}
          />
        </div>
        <div>
          <label htmlFor="owner">{t("files.owner")}</label>
          <Input
            id="owner"
            autoComplete="off"
            spellCheck={false}
            value={owner}
            placeholder={t("files.unchanged")}
            onChange={(event) => setOwner(event.target.value)}
          />
        </div>
        <div>
          <label htmlFor="group">{t("files.group")}</label>
          <Input
            id="group"
            autoComplete="off"
            spellCheck={false}
            value={group}
            placeholder={t("files.unchanged")}
            onChange={(event) => setGroup(event.target.value)}
          />
        </div>
      </div>
      {folders && (
        <Checkbox checked={recursive} onChange={({ target }) => setRecursive(target.checked)}>
          {t("files.recursive")}
        </Checkbox>
      )}
      {recursive && <p className={styles.hint}>{t("files.recursiveHint")}</p>}
    </ActionDialog>
  );
}
