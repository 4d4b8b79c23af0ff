import { useTranslation } from "react-i18next";
import { describeProblem } from "@/api/problem";
import type { Target } from "@/features/runs/results/target";
import styles from "@/features/runs/runs.module.css";

// Why a server did not finish, and which part of its output is here.
export function TargetNotes({ target, open }: { target: Target; open: boolean }) {
  const { t } = useTranslation();
  const { problem, reason, truncated, clipped } = target;
  const failure = problem === null ? null : describeProblem(problem, t);
  return (
    <>
      {failure && (
        <p className={styles.reason}>
          <strong>{failure.what}.</strong> {failure.todo}
        </p>
      )}
      {reason !== "" && <p className={styles.reason}>{reason}</p>}
      {open && truncated && <p className={styles.notice}>{t("run.truncatedText")}</p>}
      {open && clipped && <p className={styles.notice}>{t("run.clipped")}</p>}
    </>
  );
}
