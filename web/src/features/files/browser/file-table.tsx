import { type KeyboardEvent, type MouseEvent, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { FileEntry } from "@/api/files";
import { useWindowRows } from "@/components/ui/use-window-rows";
import type { Order } from "@/features/files/browser/entries";
import { FileRow } from "@/features/files/browser/file-row";
import { FileTableHead } from "@/features/files/browser/file-table-head";
import { keyAction } from "@/features/files/browser/key-actions";
import {
  all,
  NOTHING,
  only,
  ranged,
  type Selection,
  toggled,
} from "@/features/files/browser/selection";
import type { Intent } from "@/features/files/dialogs/intent";
import styles from "@/features/files/files.module.css";

const ROW_HEIGHT = 34; // px

interface Props {
  folder: string;
  entries: readonly FileEntry[];
  order: Order;
  onOrder: (order: Order) => void;
  selection: Selection;
  onSelection: (selection: Selection) => void;
  canWrite: boolean;
  onOpen: (entry: FileEntry) => void;
  onUp: () => void;
  onIntent: (intent: Intent) => void;
  onDownload: (path: string) => void;
}

export function FileTable(props: Props) {
  const { folder, entries, order, onOrder, selection, onSelection, canWrite } = props;
  const { onOpen, onUp, onIntent, onDownload } = props;
  const { t } = useTranslation();
  const table = useRef<HTMLTableElement>(null);
  const hasSelection = selection.chosen.size > 0;
  const rows = useWindowRows({
    table,
    count: entries.length,
    rowHeight: ROW_HEIGHT,
    overscan: 16,
    // The tools above are higher while something is chosen.
    layoutKey: `${entries.length} ${hasSelection}`,
  });
  const names = entries.map(({ name }) => name);
  const chosen = entries.filter(({ name }) => selection.chosen.has(name));
  const active = entries.findIndex(({ name }) => name === selection.active);
  const allChosen = chosen.length === entries.length && entries.length > 0;

  const select = (next: Selection) => {
    onSelection(next);
    const at = next.active === null ? -1 : names.indexOf(next.active);
    if (at >= 0) rows.scrollTo(at);
  };

  const onKey = (event: KeyboardEvent) => {
    // Buttons and checkboxes of a row handle their own keys.
    if (event.target !== event.currentTarget) return;
    const action = keyAction(event, selection, names, canWrite);
    if (!action) return;
    event.preventDefault();
    const entry = entries[active];
    if ("selection" in action) select(action.selection);
    else if (action.act === "up") onUp();
    else if (action.act === "open" && entry) onOpen(entry);
    else if (action.act === "rename" && entry) onIntent({ kind: "rename", entry });
    else if (action.act === "delete" && hasSelection) onIntent({ kind: "delete", entries: chosen });
  };

  const onPick = (entry: FileEntry, event: MouseEvent) => {
    if (event.shiftKey) onSelection(ranged(selection, names, entry.name));
    else if (event.ctrlKey || event.metaKey) onSelection(toggled(selection, entry.name));
    else onSelection(only(entry.name));
  };
  const onToggle = ({ name }: FileEntry) => onSelection(toggled(selection, name));
  const actions = { folder, canWrite, onPick, onToggle, onOpen, onIntent, onDownload };

  return (
    <div className={styles.box}>
      <table
        ref={table}
        className={styles.table}
        // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a table whose rows are chosen is a grid
        role="grid"
        aria-label={t("files.list", { folder })}
        aria-rowcount={entries.length + 1}
        aria-multiselectable="true"
        aria-activedescendant={rows.indexes.includes(active) ? `file-${active}` : undefined}
        tabIndex={0}
        onKeyDown={onKey}
        data-testid="files"
      >
        <FileTableHead
          order={order}
          onOrder={onOrder}
          chosen={allChosen ? "all" : chosen.length > 0 ? "some" : "none"}
          onToggleAll={() => onSelection(allChosen ? NOTHING : all(selection, names))}
        />
        <tbody>
          {rows.before > 0 && <tr style={{ height: rows.before }} />}
          {rows.indexes.map((index) => {
            const entry = entries[index];
            return (
              entry && (
                <FileRow
                  key={entry.name}
                  id={`file-${index}`}
                  index={index}
                  height={ROW_HEIGHT}
                  entry={entry}
                  chosen={selection.chosen.has(entry.name)}
                  active={index === active}
                  actions={actions}
                />
              )
            );
          })}
          {rows.after > 0 && <tr style={{ height: rows.after }} />}
        </tbody>
      </table>
      {entries.length === 0 && <p className={styles.nothing}>{t("files.noMatch")}</p>}
    </div>
  );
}
