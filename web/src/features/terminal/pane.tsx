import { type ReactNode, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/terminal/pane.module.css";
import { useFillHeight } from "@/features/terminal/use-fill-height";

// Takes what is left of the window, or all of it.
export function Pane({ tabs, children }: { tabs: ReactNode; children: ReactNode }) {
  const { t } = useTranslation();
  const pane = useRef<HTMLElement>(null);
  const [whole, setWhole] = useState(false);
  const height = useFillHeight(pane, whole);
  return (
    <section
      ref={pane}
      className={whole ? `${styles.pane} ${styles.whole}` : styles.pane}
      style={{ height }}
      aria-label={t("terminal.title")}
    >
      <div className={styles.tabs}>
        {tabs}
        <button
          type="button"
          className={styles.grow}
          aria-pressed={whole}
          aria-label={t("terminal.whole")}
          title={t("terminal.whole")}
          onClick={() => setWhole(!whole)}
        >
          <Icon name={whole ? "shrink" : "expand"} size={15} />
        </button>
      </div>
      {children}
    </section>
  );
}
