import type { ReactNode } from "react";
import styles from "@/components/ui/panel.module.css";

interface Props {
  title: string;
  className?: string | undefined;
  children: ReactNode;
}

// A framed section with a small heading.
export function Panel({ title, className, children }: Props) {
  return (
    <section className={[styles.panel, className].filter(Boolean).join(" ")}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
