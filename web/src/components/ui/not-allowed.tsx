import { useTranslation } from "react-i18next";
import { CopyLine } from "@/components/ui/copy-line";
import { EmptyState } from "@/components/ui/empty-state";
import type { IconName } from "@/components/ui/icons";
import styles from "@/components/ui/not-allowed.module.css";

interface Props {
  icon: IconName;
  title: string;
  text: string;
  // The lines to add to the policy file.
  setting: string;
}

// Explains that the policy on the server does not allow something, and how its owner can allow it.
export function NotAllowed({ icon, title, text, setting }: Props) {
  const { t } = useTranslation();
  return (
    <EmptyState icon={icon} title={title} text={text}>
      <div className={styles.how}>
        <p>{t("notAllowed.how", { file: "/etc/flotilla-agent/policy.toml" })}</p>
        <CopyLine text={setting} />
        <p>{t("notAllowed.then")}</p>
        <CopyLine text="systemctl restart flotilla-agent" />
        <p>{t("notAllowed.why")}</p>
      </div>
    </EmptyState>
  );
}
