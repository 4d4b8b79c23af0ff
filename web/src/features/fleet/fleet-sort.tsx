import { useTranslation } from "react-i18next";
import { COLUMNS, firstDirection, type Sort } from "@/features/fleet/fleet-order";
import styles from "@/features/fleet/fleet-search.module.css";

interface Props {
  sort: Sort;
  onSort: (sort: Sort) => void;
}

// The order of the cards, which have no headers to click. A select of the browser's own, as the one of
// the component library would make the first visit heavier.
export function FleetSort({ sort, onSort }: Props) {
  const { t } = useTranslation();
  return (
    <span className={styles.sort}>
      <select
        aria-label={t("fleet.sort")}
        value={sort.by}
        onChange={(event) => {
          const by = COLUMNS.find((name) => name === event.target.value);
          if (by) onSort(firstDirection(by));
        }}
      >
        {COLUMNS.map((name) => (
          <option key={name} value={name}>
            {t(`fleet.column.${name}`)}
          </option>
        ))}
      </select>
      <button
        type="button"
        title={t("fleet.reverse")}
        aria-label={t("fleet.reverse")}
        onClick={() => onSort({ ...sort, descending: !sort.descending })}
      >
        {sort.descending ? "↓" : "↑"}
      </button>
    </span>
  );
}
