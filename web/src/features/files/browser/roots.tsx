import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/files/files.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  vps: Vps;
  roots: readonly string[];
  // The path from the address, if it is outside all roots.
  outside: string | undefined;
}

export function Roots({ vps, roots, outside }: Props) {
  const { t } = useTranslation();
  if (roots.length === 0) {
    return (
      <EmptyState icon="folder" title={t("files.noRootsTitle")} text={t("files.noRootsText")} />
    );
  }
  return (
    <div className={styles.files}>
      {outside !== undefined && (
        <p className={styles.note} role="status">
          {t("files.outside", { path: escapeInvisible(outside) })}
        </p>
      )}
      <p className={styles.hint}>{t("files.rootsHint")}</p>
      <ul className={styles.roots}>
        {roots.map((root) => (
          <li key={root}>
            <Link to={`/servers/${vps.id}/files?${new URLSearchParams({ path: root })}`}>
              <Icon name="folder" size={16} />
              {escapeInvisible(root)}
            </Link>
          </li>
        ))}
      </ul>
    </div>
  );
}
