import { Button } from "antd";
import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import styles from "@/features/fleet/selection.module.css";
import { openRunDrawer } from "@/lib/run-drawer";
import { selectAll, stopSelecting, useSelection } from "@/lib/selection";

export function SelectionBar({ shown }: { shown: readonly Vps[] }) {
  const { t } = useTranslation();
  const { selecting, ids } = useSelection();
  if (!selecting) return null;
  const all = shown.filter(({ status }) => status !== "pending").map(({ id }) => id);
  return (
    <section className={styles.bar} aria-label={t("run.select")}>
      <b role="status">{t("run.selected", { count: ids.size })}</b>
      <Button disabled={all.every((id) => ids.has(id))} onClick={() => selectAll(all)}>
        {t("run.selectAll")}
      </Button>
      <Button type="primary" disabled={ids.size === 0} onClick={() => openRunDrawer([...ids])}>
        {t("run.title")}
      </Button>
      <Button onClick={stopSelecting}>{t("run.selectDone")}</Button>
    </section>
  );
}
