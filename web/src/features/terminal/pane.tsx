import { type ReactNode, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/terminal/pane.module.css";
import { useFillHeight } from "@/features/terminal/use-fill-height";

// Fills the rest of the window, or all of it.
export function Pane({ tabs, children }: { tabs: ReactNode; children: ReactNode }) {
  const { t } = useTranslation();
  const pane = useRef<HTMLElement>(null);
  const [fullWindow, setFullWindow] = useState(false);
  const height = useFillHeight(pane, fullWindow);
  return (
    <section
      ref={pane}
      className={fullWindow ? `${styles.pane} ${styles.whole}` : styles.pane}
      style={{ height }}
      aria-label={t("terminal.title")}
    >
      <div className={styles.tabs}>
        {tabs}
        <button
          type="button"
          className={styles.grow}
          aria-pressed={fullWindow}
          aria-label={t("terminal.fillWindow")}
          title={t("terminal.fillWindow")}
          onClick={() => setFullWindow(!fullWindow)}
        >
          <Icon name={fullWindow ? "shrink" : "expand"} size={15} />
        </button>
      </div>
      {children}
    </section>
  );
}
