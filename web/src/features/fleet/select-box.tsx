import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import styles from "@/features/fleet/selection.module.css";
import { toggleSelected, useSelection } from "@/lib/selection";

// While servers are picked, the whole card or row is one large box to tick.
export function SelectBox({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const selecting = useSelection((selection) => selection.selecting);
  const checked = useSelection(({ ids }) => ids.has(vps.id));
  if (!selecting || vps.status === "pending") return null;
  return (
    <label className={styles.box}>
      <input type="checkbox" checked={checked} onChange={() => toggleSelected(vps.id)} />
      <span className="sr-only">{t("run.selectOf", { name: vps.name })}</span>
    </label>
  );
}
