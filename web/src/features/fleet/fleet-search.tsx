import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/fleet/fleet-search.module.css";

interface Props {
  value: string;
  onChange: (value: string) => void;
}

const APPLE = /mac|iphone|ipad/i.test(navigator.userAgent);

export function FleetSearch({ value, onChange }: Props) {
  const { t } = useTranslation();
  return (
    <label className={styles.find}>
      <Icon name="search" size={15} />
      <input
        type="search"
        aria-label={t("fleet.search")}
        placeholder={t("fleet.search")}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      <kbd title={t("palette.title")}>{APPLE ? "⌘ K" : "Ctrl K"}</kbd>
    </label>
  );
}
