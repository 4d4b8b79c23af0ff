import { useTranslation } from "react-i18next";
import { CopyLine } from "@/components/ui/copy-line";
import styles from "@/features/metrics/series.module.css";

const LINE = "queue_length 12 queue=mail";
const COLLECTOR = `[[collector]]
command = ["/usr/local/bin/queue-length"]
interval = 60`;

export function SeriesHelp() {
  const { t } = useTranslation();
  return (
    <div className={styles.help}>
      <p>{t("series.print")}</p>
      <pre>{LINE}</pre>
      <p>{t("series.name", { file: "/etc/flotilla-agent/config.toml" })}</p>
      <CopyLine text={COLLECTOR} />
      <p>{t("notAllowed.then")}</p>
      <CopyLine text="systemctl restart flotilla-agent" />
      <p>{t("series.appears")}</p>
    </div>
  );
}
