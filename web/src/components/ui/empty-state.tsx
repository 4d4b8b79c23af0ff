import type { ReactNode } from "react";
import styles from "@/components/ui/empty-state.module.css";
import { Icon, type IconName } from "@/components/ui/icons";

interface Props {
  icon: IconName;
  title: string;
  text: string;
  children?: ReactNode;
}

export function EmptyState({ icon, title, text, children }: Props) {
  return (
    <section className={styles.empty}>
      <Icon name={icon} size={30} />
      <h2>{title}</h2>
      <p>{text}</p>
      {children}
    </section>
  );
}
