import { useTranslation } from "react-i18next";
import type { RunStatus } from "@/api/runs";
import styles from "@/features/runs/runs.module.css";

interface Props {
  status: RunStatus;
  exitCode: number | null;
  cancelling?: boolean;
}

// Shows the result as a colour, a shape and words.
export function ExitMark({ status, exitCode, cancelling = false }: Props) {
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
      {cancelling ? t("run.cancelling") : words}
    </span>
  );
}
