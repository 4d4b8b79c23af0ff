import { Button, Checkbox, Dropdown, type MenuProps } from "antd";
import type { MouseEvent } from "react";
import { useTranslation } from "react-i18next";
import type { FileEntry } from "@/api/files";
import { Icon, type IconName } from "@/components/ui/icons";
import { isArchive, ownerText } from "@/features/files/entries";
import type { Intent } from "@/features/files/file-dialog";
import styles from "@/features/files/files.module.css";
import { modeText, octal } from "@/features/files/mode";
import { joined } from "@/features/files/paths";
import { formatAbsolute, formatBytes } from "@/lib/format";
import { visible } from "@/lib/visible";

const ICONS = {
  directory: "folder",
  file: "file",
  link: "link",
  other: "container",
} as const satisfies Record<FileEntry["kind"], IconName>;

interface Props {
  id: string;
  index: number;
  height: number;
  folder: string;
  entry: FileEntry;
  chosen: boolean;
  active: boolean;
  may: boolean;
  onPick: (entry: FileEntry, event: MouseEvent) => void;
  onToggle: (entry: FileEntry) => void;
  onOpen: (entry: FileEntry) => void;
  onIntent: (intent: Intent) => void;
  onDownload: (path: string) => void;
}

export function FileRow(props: Props) {
  const { id, index, height, folder, entry, chosen, active, may } = props;
  const { onPick, onToggle, onOpen, onIntent, onDownload } = props;
  const { t, i18n } = useTranslation();
  const name = visible(entry.name);
  const opens = entry.kind !== "other";
  return (
    <tr
      id={id}
      aria-rowindex={index + 2}
      aria-selected={chosen}
      className={active ? styles.active : undefined}
      style={{ height }}
      onClick={(event) => onPick(entry, event)}
      onDoubleClick={() => opens && onOpen(entry)}
      data-testid="file"
      data-name={entry.name}
    >
      <td className={styles.check}>
        <Checkbox
          aria-label={t("files.choose", { name })}
          checked={chosen}
          tabIndex={-1}
          onClick={(event) => event.stopPropagation()}
          onChange={() => onToggle(entry)}
        />
      </td>
      <th scope="row">
        <span className={styles.name}>
          <Icon name={ICONS[entry.kind]} size={15} />
          {opens ? (
            <button
              type="button"
              tabIndex={-1}
              onClick={(event) => {
                // With a key held it chooses, like the rest of the row.
                if (event.shiftKey || event.ctrlKey || event.metaKey) return;
                event.stopPropagation();
                onOpen(entry);
              }}
            >
              {name}
            </button>
          ) : (
            <span>{name}</span>
          )}
          {entry.link_target !== "" && <small>→ {visible(entry.link_target)}</small>}
        </span>
      </th>
      <td>{entry.kind === "file" ? formatBytes(entry.size_bytes) : ""}</td>
      <td>
        <code title={octal(entry.mode)}>{modeText(entry.mode, entry.kind)}</code>
      </td>
      <td>{visible(ownerText(entry))}</td>
      <td>
        <time dateTime={entry.modified_at}>{formatAbsolute(entry.modified_at, i18n.language)}</time>
      </td>
      <td>
        <RowMenu
          entry={entry}
          folder={folder}
          may={may}
          onIntent={onIntent}
          onDownload={onDownload}
        />
      </td>
    </tr>
  );
}

type MenuFor = Pick<Props, "entry" | "folder" | "may" | "onIntent" | "onDownload">;

function RowMenu({ entry, folder, may, onIntent, onDownload }: MenuFor) {
  const { t } = useTranslation();
  const entries = [entry];
  const acts: Record<string, () => void> = {
    ...(entry.kind === "file" && {
      download: () => onDownload(joined(folder, entry.name)),
      checksum: () => onIntent({ kind: "checksum", entry }),
    }),
    ...(may && {
      rename: () => onIntent({ kind: "rename", entry }),
      move: () => onIntent({ kind: "move", entries }),
      copy: () => onIntent({ kind: "copy", entries }),
      ...(entry.kind !== "link" && {
        permissions: () => onIntent({ kind: "permissions", entries }),
      }),
      ...(isArchive(entry)
        ? { extract: () => onIntent({ kind: "extract", entry }) }
        : { archive: () => onIntent({ kind: "archive", entries }) }),
      delete: () => onIntent({ kind: "delete", entries }),
    }),
  };
  const names = Object.keys(acts) as (keyof typeof LABELS)[];
  if (names.length === 0) return null;
  const items: MenuProps["items"] = names.map((key) => ({
    key,
    label: t(LABELS[key]),
    danger: key === "delete",
  }));
  const onClick: MenuProps["onClick"] = ({ key, domEvent }) => {
    // The key that chose here is not to press a button of what opens.
    domEvent.preventDefault();
    acts[key]?.();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keeps clicks on the menu from choosing the row
    // biome-ignore lint/a11y/useKeyWithClickEvents: see above
    <span
      onClick={(event) => event.stopPropagation()}
      onDoubleClick={(event) => event.stopPropagation()}
    >
      <Dropdown trigger={["click"]} menu={{ items, onClick }}>
        <Button
          size="small"
          type="text"
          tabIndex={-1}
          icon={<Icon name="dots" size={14} />}
          aria-label={t("docker.moreOn", { name: visible(entry.name) })}
        />
      </Dropdown>
    </span>
  );
}

const LABELS = {
  download: "files.download",
  checksum: "files.checksum",
  rename: "files.rename",
  move: "files.move",
  copy: "files.copy",
  permissions: "files.permissions",
  archive: "files.archive",
  extract: "files.extract",
  delete: "files.delete",
} as const;
