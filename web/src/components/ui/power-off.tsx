import { useTranslation } from "react-i18next";
import { CopyLine } from "@/components/ui/copy-line";
import { EmptyState } from "@/components/ui/empty-state";
import type { IconName } from "@/components/ui/icons";
import styles from "@/components/ui/power-off.module.css";

interface Props {
  icon: IconName;
  title: string;
  text: string;
  // A line of the host's policy.
  setting: string;
}

// What the server's own policy does not allow, and how its owner would.
export function PowerOff({ icon, title, text, setting }: Props) {
  const { t } = useTranslation();
  return (
    <EmptyState icon={icon} title={title} text={text}>
      <div className={styles.how}>
        <p>{t("powerOff.how", { file: "/etc/flotilla-agent/policy.toml" })}</p>
        <CopyLine text={setting} />
        <p>{t("powerOff.then")}</p>
        <CopyLine text="systemctl restart flotilla-agent" />
        <p>{t("powerOff.why")}</p>
      </div>
    </EmptyState>
  );
}
