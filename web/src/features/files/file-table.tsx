import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { Checkbox } from "antd";
import { type KeyboardEvent, type MouseEvent, useLayoutEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { FileEntry } from "@/api/files";
import type { Order, SortKey } from "@/features/files/entries";
import type { Intent } from "@/features/files/file-dialog";
import { FileRow } from "@/features/files/file-row";
import styles from "@/features/files/files.module.css";
import { keyAct } from "@/features/files/keys";
import { all, NOTHING, only, ranged, type Selection, toggled } from "@/features/files/selection";

const ROW_HEIGHT = 34; // px
const COLUMNS: readonly SortKey[] = ["name", "size", "mode", "owner", "modified"];

interface Props {
  folder: string;
  entries: readonly FileEntry[];
  order: Order;
  onOrder: (order: Order) => void;
  selection: Selection;
  onSelection: (selection: Selection) => void;
  may: boolean;
  onOpen: (entry: FileEntry) => void;
  onUp: () => void;
  onIntent: (intent: Intent) => void;
  onDownload: (path: string) => void;
}

export function FileTable(props: Props) {
  const { folder, entries, order, onOrder, selection, onSelection, may } = props;
  const { onOpen, onUp, onIntent, onDownload } = props;
  const { t } = useTranslation();
  const box = useRef<HTMLTableElement>(null);
  const [top, setTop] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what stands above moves with what is listed and chosen
  useLayoutEffect(() => {
    setTop((box.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
  }, [entries, selection.chosen.size > 0]);
  const rows = useWindowVirtualizer({
    count: entries.length,
    estimateSize: () => ROW_HEIGHT,
    overscan: 16,
    scrollMargin: top,
  });
  const items = rows.getVirtualItems();
  const before = (items[0]?.start ?? top) - top;
  const after = rows.getTotalSize() - ((items.at(-1)?.end ?? top) - top);
  const names = entries.map(({ name }) => name);
  const chosen = entries.filter(({ name }) => selection.chosen.has(name));
  const active = entries.findIndex(({ name }) => name === selection.active);
  const activeShown = items.some(({ index }) => index === active);

  const choose = (next: Selection) => {
    onSelection(next);
    const at = next.active === null ? -1 : names.indexOf(next.active);
    if (at >= 0) rows.scrollToIndex(at, { align: "auto" });
  };

  const onKey = (event: KeyboardEvent) => {
    // Keys pressed in a button or box of a row are its own.
    if (event.target !== event.currentTarget) return;
    const act = keyAct(event, selection, names, may);
    if (!act) return;
    event.preventDefault();
    const entry = entries[active];
    if ("selection" in act) choose(act.selection);
    else if (act.act === "up") onUp();
    else if (act.act === "open" && entry) onOpen(entry);
    else if (act.act === "rename" && entry) onIntent({ kind: "rename", entry });
    else if (act.act === "delete" && chosen.length > 0) {
      onIntent({ kind: "delete", entries: chosen });
    }
  };

  const onPick = (entry: FileEntry, event: MouseEvent) => {
    if (event.shiftKey) onSelection(ranged(selection, names, entry.name));
    else if (event.ctrlKey || event.metaKey) onSelection(toggled(selection, entry.name));
    else onSelection(only(entry.name));
  };

  const every = chosen.length === entries.length && entries.length > 0;
  return (
    <div className={styles.box}>
      <table
        ref={box}
        className={styles.table}
        // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a table whose rows are chosen is a grid
        role="grid"
        aria-label={t("files.list", { folder })}
        aria-rowcount={entries.length + 1}
        aria-multiselectable="true"
        aria-activedescendant={activeShown ? `file-${active}` : undefined}
        tabIndex={0}
        onKeyDown={onKey}
        data-testid="files"
      >
        <thead>
          <tr>
            <th scope="col" className={styles.check}>
              <Checkbox
                aria-label={t("files.chooseAll")}
                checked={every}
                indeterminate={chosen.length > 0 && !every}
                onChange={() => onSelection(every ? NOTHING : all(selection, names))}
              />
            </th>
            {COLUMNS.map((key) => (
              <th
                key={key}
                scope="col"
                aria-sort={
                  order.key === key ? (order.descending ? "descending" : "ascending") : "none"
                }
              >
                <button
                  type="button"
                  onClick={() =>
                    onOrder({ key, descending: order.key === key && !order.descending })
                  }
                >
                  {t(`files.column.${key}`)}
                  {order.key === key && <i aria-hidden="true">{order.descending ? "↓" : "↑"}</i>}
                </button>
              </th>
            ))}
            <th scope="col">
              <span className="sr-only">{t("docker.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {before > 0 && <tr style={{ height: before }} />}
          {items.map(({ index }) => {
            const entry = entries[index];
            return (
              entry && (
                <FileRow
                  key={entry.name}
                  id={`file-${index}`}
                  index={index}
                  height={ROW_HEIGHT}
                  folder={folder}
                  entry={entry}
                  chosen={selection.chosen.has(entry.name)}
                  active={index === active}
                  may={may}
                  onPick={onPick}
                  onToggle={(one) => onSelection(toggled(selection, one.name))}
                  onOpen={onOpen}
                  onIntent={onIntent}
                  onDownload={onDownload}
                />
              )
            );
          })}
          {after > 0 && <tr style={{ height: after }} />}
        </tbody>
      </table>
      {entries.length === 0 && <p className={styles.nothing}>{t("files.noMatch")}</p>}
    </div>
  );
}
