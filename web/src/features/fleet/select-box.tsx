import { useTranslation } from "react-i18next";
import { useRights } from "@/api/access";
import type { Vps } from "@/api/vps";
import { toggleSelected, useSelection } from "@/features/fleet/selection";
import styles from "@/features/fleet/selection.module.css";

// A checkbox that covers the whole card or row while servers are being selected.
export function SelectBox({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const selecting = useSelection((selection) => selection.selecting);
  const checked = useSelection(({ ids }) => ids.has(vps.id));
  const { act } = useRights(vps);
  if (!selecting || !act || vps.status === "pending") return null;
  return (
    <label className={styles.box}>
      <input type="checkbox" checked={checked} onChange={() => toggleSelected(vps.id)} />
      <span className="sr-only">{t("run.selectOf", { name: vps.name })}</span>
    </label>
  );
}
