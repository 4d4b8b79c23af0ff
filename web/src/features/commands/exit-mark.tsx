import { useTranslation } from "react-i18next";
import styles from "@/features/commands/commands.module.css";
import type { TargetStatus } from "@/features/commands/run-progress";

interface Props {
  status: TargetStatus;
  exitCode: number | null;
}

// A colour and a shape for eyes, and always the words.
export function ExitMark({ status, exitCode }: Props) {
  const { t } = useTranslation();
  const good = status === "finished" && exitCode === 0;
  const tone = good ? "good" : status === "finished" ? "bad" : status;
  const words =
    status !== "finished" || exitCode === null
      ? t(`run.status.${status}`)
      : exitCode < 0
        ? t("run.signal", { signal: -exitCode })
        : t("run.exit", { code: exitCode });
  return (
    <span className={`${styles.mark} ${styles[tone] ?? styles.bad}`}>
      <i aria-hidden="true" />
      {words}
    </span>
  );
}
