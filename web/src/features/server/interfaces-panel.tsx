import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import { Panel } from "@/components/ui/panel";
import tables from "@/components/ui/table.module.css";
import styles from "@/features/server/details.module.css";
import { useFormat } from "@/lib/use-format";

type Interfaces = NonNullable<SampleDetail["interfaces"]>;

// Interfaces that never carried traffic are folded away, unless there are no others.
export function InterfacesPanel({ interfaces }: { interfaces: Interfaces }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  if (interfaces.length === 0) return null;
  const used = interfaces.filter(({ rx_total, tx_total }) => rx_total + tx_total > 0);
  const idle = interfaces.filter(({ rx_total, tx_total }) => rx_total + tx_total === 0);
  const foldable = used.length > 0 && idle.length > 0;
  return (
    <Panel title={t("detail.interfaces")}>
      <InterfaceTable interfaces={foldable && !open ? used : [...used, ...idle]} />
      {foldable && (
        <Button
          type="link"
          size="small"
          className={styles.fold ?? ""}
          aria-expanded={open}
          title={t("detail.idleHint")}
          onClick={() => setOpen(!open)}
        >
          {open ? t("action.less") : t("action.more", { n: idle.length })}
        </Button>
      )}
    </Panel>
  );
}

function InterfaceTable({ interfaces }: { interfaces: Interfaces }) {
  const { t } = useTranslation();
  const format = useFormat();
  return (
    <table className={tables.table}>
      <thead>
        <tr>
          <th scope="col">{t("detail.name")}</th>
          <th scope="col">↓ {t("line.in")}</th>
          <th scope="col">↑ {t("line.out")}</th>
          <th scope="col">{t("detail.received")}</th>
          <th scope="col">{t("detail.sent")}</th>
        </tr>
      </thead>
      <tbody>
        {interfaces.map(({ name, rx, tx, rx_total, tx_total }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{format.networkRate(rx)}</td>
            <td>{format.networkRate(tx)}</td>
            <td>{format.traffic(rx_total)}</td>
            <td>{format.traffic(tx_total)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
