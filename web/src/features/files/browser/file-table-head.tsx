import { Checkbox } from "antd";
import { useTranslation } from "react-i18next";
import type { Order, SortKey } from "@/features/files/browser/entries";
import styles from "@/features/files/files.module.css";

const COLUMNS: readonly SortKey[] = ["name", "size", "mode", "owner", "modified"];

interface Props {
  order: Order;
  onOrder: (order: Order) => void;
  chosen: "none" | "some" | "all";
  onToggleAll: () => void;
}

export function FileTableHead({ order, onOrder, chosen, onToggleAll }: Props) {
  const { t } = useTranslation();
  const direction = order.descending ? "descending" : "ascending";
  return (
    <thead>
      <tr>
        <th scope="col" className={styles.check}>
          <Checkbox
            aria-label={t("files.chooseAll")}
            checked={chosen === "all"}
            indeterminate={chosen === "some"}
            onChange={onToggleAll}
          />
        </th>
        {COLUMNS.map((key) => (
          <th key={key} scope="col" aria-sort={order.key === key ? direction : "none"}>
            <button
              type="button"
              onClick={() => onOrder({ key, descending: order.key === key && !order.descending })}
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
  );
}
