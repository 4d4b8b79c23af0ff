import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { CopyButton } from "@/components/ui/copy-button";
import styles from "@/features/files/files.module.css";
import { crumbs } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  server: string;
  path: string;
  root: string;
  roots: readonly string[];
}

export function Breadcrumb({ server, path, root, roots }: Props) {
  const { t } = useTranslation();
  const way = crumbs(path, root);
  const address = `/servers/${server}/files`;
  return (
    <nav className={styles.crumbs} aria-label={t("files.path")}>
      {roots.length > 1 && <Link to={address}>{t("files.roots")}</Link>}
      {way.map(({ name, path: at }, index) => (
        <span key={at}>
          {(index > 0 || roots.length > 1) && <i aria-hidden="true">›</i>}
          {index === way.length - 1 ? (
            <b aria-current="page">{escapeInvisible(name)}</b>
          ) : (
            <Link to={`${address}?${new URLSearchParams({ path: at })}`}>
              {escapeInvisible(name)}
            </Link>
          )}
        </span>
      ))}
      <CopyButton text={() => path} label={t("files.copyPath")} />
    </nav>
  );
}
