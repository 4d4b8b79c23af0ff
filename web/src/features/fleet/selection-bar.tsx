import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { useActable } from "@/api/access";
import type { Vps } from "@/api/vps";
import { selectAll, stopSelecting, useSelection } from "@/features/fleet/selection";
import styles from "@/features/fleet/selection.module.css";
import { openRunDrawer } from "@/features/runs/run-drawer-state";

export function SelectionBar({ shown }: { shown: readonly Vps[] }) {
  const { t } = useTranslation();
  const { selecting, ids } = useSelection();
  const actable = useActable(shown);
  if (!selecting) return null;
  const all = actable.filter(({ status }) => status !== "pending").map(({ id }) => id);
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
