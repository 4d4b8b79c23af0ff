import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { EmptyState } from "@/components/ui/empty-state";
import { Page } from "@/components/ui/page";

export function NotFound() {
  const { t } = useTranslation();
  return (
    <Page>
      <EmptyState icon="search" title={t("notFound.title")} text={t("notFound.text")}>
        <Link to="/">{t("notFound.back")}</Link>
      </EmptyState>
    </Page>
  );
}
