import { useTranslation } from "react-i18next";
import { Page } from "@/components/ui/page";
import styles from "@/components/ui/page-skeleton.module.css";

const BLOCKS = ["a", "b", "c", "d", "e", "f", "g", "h"];

export function PageSkeleton() {
  const { t } = useTranslation();
  return (
    <Page>
      <div role="status" className={styles.skeleton}>
        <span className="sr-only">{t("loading")}</span>
        <i className={styles.title} />
        <i className={styles.strip} />
        <div className={styles.grid}>
          {BLOCKS.map((block) => (
            <i key={block} />
          ))}
        </div>
      </div>
    </Page>
  );
}
