import { Checkbox } from "antd";
import type { MouseEvent } from "react";
import { useTranslation } from "react-i18next";
import type { FileEntry } from "@/api/files";
import { Icon, type IconName } from "@/components/ui/icons";
import { ownerText } from "@/features/files/browser/entries";
import { RowMenu, type RowMenuProps } from "@/features/files/browser/row-menu";
import { modeText, octal } from "@/features/files/dialogs/mode";
import styles from "@/features/files/files.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

const ICONS = {
  directory: "folder",
  file: "file",
  link: "link",
  other: "container",
} as const satisfies Record<FileEntry["kind"], IconName>;

export interface RowActions extends Omit<RowMenuProps, "entry"> {
  onPick: (entry: FileEntry, event: MouseEvent) => void;
  onToggle: (entry: FileEntry) => void;
  onOpen: (entry: FileEntry) => void;
}

interface Props {
  id: string;
  index: number;
  height: number;
  entry: FileEntry;
  chosen: boolean;
  active: boolean;
  actions: RowActions;
}

export function FileRow({ id, index, height, entry, chosen, active, actions }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const { onPick, onToggle, onOpen } = actions;
  return (
    <tr
      id={id}
      aria-rowindex={index + 2}
      aria-selected={chosen}
      className={active ? styles.active : undefined}
      style={{ height }}
      onClick={(event) => onPick(entry, event)}
      onDoubleClick={() => entry.kind !== "other" && onOpen(entry)}
      data-testid="file"
      data-name={entry.name}
    >
      <td className={styles.check}>
        <Checkbox
          aria-label={t("files.choose", { name: escapeInvisible(entry.name) })}
          checked={chosen}
          tabIndex={-1}
          onClick={(event) => event.stopPropagation()}
          onChange={() => onToggle(entry)}
        />
      </td>
      <th scope="row">
        <Name entry={entry} onOpen={onOpen} />
      </th>
      <td>{entry.kind === "file" ? format.size(entry.size_bytes) : ""}</td>
      <td>
        <code title={octal(entry.mode)}>{modeText(entry.mode, entry.kind)}</code>
      </td>
      <td>{escapeInvisible(ownerText(entry))}</td>
      <td>
        <time dateTime={entry.modified_at}>{format.dateTime(entry.modified_at)}</time>
      </td>
      <td>
        <RowMenu entry={entry} {...actions} />
      </td>
    </tr>
  );
}

function Name({ entry, onOpen }: { entry: FileEntry; onOpen: (entry: FileEntry) => void }) {
  const name = escapeInvisible(entry.name);
  return (
    <span className={styles.name}>
      <Icon name={ICONS[entry.kind]} size={15} />
      {entry.kind === "other" ? (
        <span>{name}</span>
      ) : (
        <button
          type="button"
          tabIndex={-1}
          onClick={(event) => {
            // With a modifier key the click chooses the row.
            if (event.shiftKey || event.ctrlKey || event.metaKey) return;
            event.stopPropagation();
            onOpen(entry);
          }}
        >
          {name}
        </button>
      )}
      {entry.link_target !== "" && <small>→ {escapeInvisible(entry.link_target)}</small>}
    </span>
  );
}
