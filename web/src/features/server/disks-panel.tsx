import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import { Panel } from "@/components/ui/panel";
import tables from "@/components/ui/table.module.css";
import { UsageBar } from "@/components/ui/usage-bar";
import styles from "@/features/server/details.module.css";
import type { Format } from "@/lib/format/format";
import { useFormat } from "@/lib/use-format";

type Disks = NonNullable<SampleDetail["disks"]>;
type BlockDevices = NonNullable<SampleDetail["block_devices"]>;

interface Props {
  disks: Disks;
  devices: BlockDevices;
}

export function DisksPanel({ disks, devices }: Props) {
  const { t } = useTranslation();
  if (disks.length + devices.length === 0) return null;
  return (
    <Panel title={t("detail.disks")}>
      <MountTable disks={disks} />
      {devices.length > 0 && <DeviceTable devices={devices} />}
    </Panel>
  );
}

function MountTable({ disks }: { disks: Disks }) {
  const { t } = useTranslation();
  const format = useFormat();
  return (
    <table className={tables.table}>
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
              <td>{t("unit.share", { ...format.share(used, total) })}</td>
              <td className={styles.levelCell}>
                <span className={styles.level}>
                  <UsageBar percent={percent} />
                  <b>{format.wholePercent(percent)}</b>
                </span>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function DeviceTable({ devices }: { devices: BlockDevices }) {
  const { t } = useTranslation();
  const format = useFormat();
  return (
    <table className={tables.table}>
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
            <td>{format.diskRate(read)}</td>
            <td>{format.diskRate(write)}</td>
            <td>
              {countText(format, reads)} · {countText(format, writes)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function countText(format: Format, value: number | null): string {
  return value === null ? "–" : format.count(value);
}
