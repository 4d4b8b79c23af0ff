import { Button, Dropdown, type MenuProps } from "antd";
import { useTranslation } from "react-i18next";
import type { FileEntry } from "@/api/files";
import { Icon } from "@/components/ui/icons";
import { isArchive } from "@/features/files/browser/entries";
import type { Intent } from "@/features/files/dialogs/intent";
import { joined } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

export interface RowMenuProps {
  folder: string;
  entry: FileEntry;
  canWrite: boolean;
  onIntent: (intent: Intent) => void;
  onDownload: (path: string) => void;
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

type Action = keyof typeof LABELS;

function actionsOf(props: RowMenuProps): Partial<Record<Action, () => void>> {
  const { folder, entry, canWrite, onIntent, onDownload } = props;
  const entries = [entry];
  return {
    ...(entry.kind === "file" && {
      download: () => onDownload(joined(folder, entry.name)),
      checksum: () => onIntent({ kind: "checksum", entry }),
    }),
    ...(canWrite && {
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
}

export function RowMenu(props: RowMenuProps) {
  const { t } = useTranslation();
  const actions = actionsOf(props);
  const names = Object.keys(actions) as Action[];
  if (names.length === 0) return null;
  const items: MenuProps["items"] = names.map((key) => ({
    key,
    label: t(LABELS[key]),
    danger: key === "delete",
  }));
  const onClick: MenuProps["onClick"] = ({ key, domEvent }) => {
    // The key that chose this entry must not also press a button of the dialog that opens.
    domEvent.preventDefault();
    actions[key as Action]?.();
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
          aria-label={t("action.moreFor", { name: escapeInvisible(props.entry.name) })}
        />
      </Dropdown>
    </span>
  );
}
