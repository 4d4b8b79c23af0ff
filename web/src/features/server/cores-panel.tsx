import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import { Panel } from "@/components/ui/panel";
import { UsageBar } from "@/components/ui/usage-bar";
import styles from "@/features/server/details.module.css";
import { useFormat } from "@/lib/use-format";

export function CoresPanel({ cores }: { cores: NonNullable<SampleDetail["cpu_cores"]> }) {
  const { t } = useTranslation();
  const format = useFormat();
  if (cores.length === 0) return null;
  return (
    <Panel title={t("detail.cores")} className={styles.wide}>
      <ol className={styles.cores}>
        {cores.map((percent, core) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a core is its index
          <li key={core}>
            <span>{core}</span>
            <UsageBar percent={percent ?? 0} />
            <b>{format.wholePercent(percent)}</b>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
