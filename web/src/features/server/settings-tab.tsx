import { AllowedSection } from "@/features/server/allowed-section";
import { DeleteServer } from "@/features/server/delete-server";
import { RenameForm } from "@/features/server/rename-form";
import { ReportingForm } from "@/features/server/reporting-form";
import { useServerContext } from "@/features/server/server-context";
import styles from "@/features/server/settings.module.css";

export function SettingsTab() {
  const { vps } = useServerContext();
  return (
    <div className={styles.form}>
      <RenameForm vps={vps} key={`name-${vps.id}`} />
      <ReportingForm vps={vps} key={`config-${vps.id}-${vps.agent_config.revision}`} />
      <AllowedSection vps={vps} />
      <DeleteServer vps={vps} />
    </div>
  );
}
