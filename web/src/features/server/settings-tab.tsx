import { useOutletContext } from "react-router";
import { DeleteServer } from "@/features/server/delete-server";
import { PowersSection } from "@/features/server/powers-section";
import { RenameForm } from "@/features/server/rename-form";
import { ReportingForm } from "@/features/server/reporting-form";
import styles from "@/features/server/server.module.css";
import type { ServerContext } from "@/features/server/server-page";

export function SettingsTab() {
  const { vps } = useOutletContext<ServerContext>();
  return (
    <div className={styles.form}>
      <RenameForm vps={vps} key={`name-${vps.id}`} />
      <ReportingForm vps={vps} key={`config-${vps.id}-${vps.agent_config.revision}`} />
      <PowersSection vps={vps} />
      <DeleteServer vps={vps} />
    </div>
  );
}
