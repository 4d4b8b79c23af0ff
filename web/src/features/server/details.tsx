import { Button } from "antd";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import { shareText } from "@/features/server/charts";
import styles from "@/features/server/server.module.css";
import { formatBitRates, formatByteRates, formatBytes, levelOf } from "@/lib/format";

type Of<K extends keyof SampleDetail> = NonNullable<SampleDetail[K]>;

interface PanelProps {
  title: string;
  wide?: boolean;
  children: ReactNode;
}

function Panel({ title, wide = false, children }: PanelProps) {
  return (
    <section className={wide ? `${styles.panel} ${styles.wide}` : styles.panel}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Bar({ percent }: { percent: number }) {
  return (
    <u className={`${styles.bar} ${styles[levelOf(percent)]}`}>
      <s style={{ transform: `scaleX(${Math.min(100, percent) / 100})` }} />
    </u>
  );
}

export function Cores({ cores }: { cores: Of<"cpu_cores"> }) {
  const { t } = useTranslation();
  if (cores.length === 0) return null;
  return (
    <Panel title={t("detail.cores")} wide>
      <ol className={styles.cores}>
        {cores.map((percent, core) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a core is its index
          <li key={core}>
            <span>{core}</span>
            <Bar percent={percent} />
            <b>{Math.round(percent)} %</b>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

export function Temperatures({ temperatures }: { temperatures: Of<"temperatures"> }) {
  const { t } = useTranslation();
  if (temperatures.length === 0) return null;
  return (
    <Panel title={t("detail.temperatures")} wide>
      <dl className={styles.readings}>
        {temperatures.map(({ sensor, celsius }) => (
          <div key={sensor}>
            <dt>{sensor}</dt>
            <dd>{celsius.toFixed(0)} °C</dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}

interface DisksProps {
  disks: Of<"disks">;
  devices: Of<"block_devices">;
}

export function Disks({ disks, devices }: DisksProps) {
  const { t } = useTranslation();
  if (disks.length + devices.length === 0) return null;
  return (
    <Panel title={t("detail.disks")}>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">{t("detail.mount")}</th>
            <th scope="col" className={styles.device}>
              {t("detail.device")}
            </th>
            <th scope="col">{t("detail.usage")}</th>
            <th scope="col">
              <span className="sr-only">{t("detail.percent")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {disks.map(({ mount_point, device, filesystem, total, used }) => {
            const percent = total > 0 ? (used / total) * 100 : 0;
            return (
              <tr key={mount_point}>
                <th scope="row">{mount_point}</th>
                <td className={styles.device}>
                  {device} <em>{filesystem}</em>
                </td>
                <td>{shareText(t, used, total)}</td>
                <td className={styles.level}>
                  <Bar percent={percent} />
                  <b>{Math.round(percent)} %</b>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {devices.length > 0 && (
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">{t("detail.blockDevice")}</th>
              <th scope="col">{t("line.read")}</th>
              <th scope="col">{t("line.write")}</th>
              <th scope="col">IOPS</th>
            </tr>
          </thead>
          <tbody>
            {devices.map(({ device, read, write, reads, writes }) => (
              <tr key={device}>
                <th scope="row">{device}</th>
                <td>{byteRate(read)}</td>
                <td>{byteRate(write)}</td>
                <td>
                  {count(reads)} · {count(writes)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

export function Interfaces({ interfaces }: { interfaces: Of<"interfaces"> }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  if (interfaces.length === 0) return null;
  const used = interfaces.filter(({ rx_total, tx_total }) => rx_total + tx_total > 0);
  const idle = interfaces.filter(({ rx_total, tx_total }) => rx_total + tx_total === 0);
  const foldable = used.length > 0 && idle.length > 0;
  const shown = foldable && !open ? used : [...used, ...idle];
  return (
    <Panel title={t("detail.interfaces")}>
      <table className={styles.table}>
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
          {shown.map(({ name, rx, tx, rx_total, tx_total }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{bitRate(rx)}</td>
              <td>{bitRate(tx)}</td>
              <td>{formatBytes(rx_total)}</td>
              <td>{formatBytes(tx_total)}</td>
            </tr>
          ))}
        </tbody>
      </table>
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

const NONE = "–";

function count(value: number | null): string {
  return value === null ? NONE : String(Math.round(value));
}

function byteRate(value: number | null): string {
  if (value === null) return NONE;
  const { values, unit } = formatByteRates(value);
  return `${values[0]} ${unit}`;
}

function bitRate(value: number | null): string {
  if (value === null) return NONE;
  const { values, unit } = formatBitRates(value);
  return `${values[0]} ${unit}`;
}
