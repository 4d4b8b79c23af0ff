import { Segmented } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import { Panel } from "@/components/ui/panel";
import tables from "@/components/ui/table.module.css";
import styles from "@/features/server/processes-panel.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

type Processes = NonNullable<SampleDetail["top_processes"]>;
type Order = "cpu" | "memory";

const SHOWN = 5;
const VALUE = {
  cpu: ({ cpu_usage }: Processes[number]) => cpu_usage ?? 0,
  memory: ({ memory }: Processes[number]) => memory,
} as const;

// The processes that use the most CPU time or memory, where the server's owner lets the agent
// report them.
export function ProcessesPanel({ processes }: { processes: Processes }) {
  const { t } = useTranslation();
  const format = useFormat();
  const [order, setOrder] = useState<Order>("cpu");
  if (processes.length === 0) return null;
  const shown = processes.toSorted((a, b) => VALUE[order](b) - VALUE[order](a)).slice(0, SHOWN);
  return (
    <Panel title={t("detail.processes")} className={styles.panel}>
      <Segmented<Order>
        className={styles.order ?? ""}
        size="small"
        aria-label={t("detail.processOrder")}
        value={order}
        onChange={setOrder}
        options={[
          { value: "cpu", label: t("metric.cpu") },
          { value: "memory", label: t("metric.memory") },
        ]}
      />
      <table className={tables.table}>
        <thead>
          <tr>
            <th scope="col">{t("detail.name")}</th>
            <th scope="col">{t("detail.pid")}</th>
            <th scope="col">{t("detail.user")}</th>
            <th scope="col" title={t("detail.ofOneCore")}>
              {t("metric.cpu")}
            </th>
            <th scope="col">{t("metric.memory")}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ pid, name, user, cpu_usage, memory }) => (
            <tr key={pid} data-testid="process">
              <th scope="row">{escapeInvisible(name)}</th>
              <td>{pid}</td>
              <td>{escapeInvisible(user) || "–"}</td>
              <td>{format.percent(cpu_usage)}</td>
              <td>{format.size(memory)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
