import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import { Panel } from "@/components/ui/panel";
import styles from "@/features/server/details.module.css";
import { useFormat } from "@/lib/use-format";

interface Props {
  temperatures: NonNullable<SampleDetail["temperatures"]>;
}

export function TemperaturesPanel({ temperatures }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  if (temperatures.length === 0) return null;
  return (
    <Panel title={t("detail.temperatures")} className={styles.wide}>
      <dl className={styles.readings}>
        {temperatures.map(({ sensor, celsius }) => (
          <div key={sensor}>
            <dt>{sensor}</dt>
            <dd>{format.celsius(celsius)}</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
