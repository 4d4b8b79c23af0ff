import styles from "@/features/runs/runs.module.css";

interface Props {
  done: number;
  all: number;
  label: string;
}

// Shows how many servers are done, as a bar and as text.
export function Progress({ done, all, label }: Props) {
  return (
    <div className={styles.progress}>
      <progress value={done} max={all} aria-label={label} />
      <span>{label}</span>
    </div>
  );
}
