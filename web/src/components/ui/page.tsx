import type { ReactNode } from "react";
import styles from "@/components/ui/page.module.css";

interface Props {
  title?: ReactNode;
  tools?: ReactNode;
  narrow?: boolean;
  children: ReactNode;
}

export function Page({ title, tools, narrow = false, children }: Props) {
  return (
    <main id="main" className={narrow ? `${styles.page} ${styles.narrow}` : styles.page}>
      {title !== undefined && (
        <header className={styles.header}>
          <h1>{title}</h1>
          {tools}
        </header>
      )}
      {children}
    </main>
  );
}
