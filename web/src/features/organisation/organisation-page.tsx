import { Select } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { reaches, useOrganisations } from "@/api/access";
import { EmptyState } from "@/components/ui/empty-state";
import { Page } from "@/components/ui/page";
import { Invitations } from "@/features/organisation/invitations";
import { Members } from "@/features/organisation/members";
import styles from "@/features/organisation/organisation.module.css";
import { RenameOrganisation } from "@/features/organisation/rename-organisation";

export function OrganisationPage() {
  const { t } = useTranslation();
  const organisations = useOrganisations("viewer");
  const [params, setParams] = useSearchParams();
  const chosen = organisations.find(({ id }) => id === params.get("id")) ?? organisations[0];
  if (!chosen) {
    return (
      <Page title={t("organisation.title")} narrow>
        <EmptyState
          icon="user"
          title={t("organisation.noneTitle")}
          text={t("organisation.noneText")}
        >
          <Link to="/">{t("notFound.back")}</Link>
        </EmptyState>
      </Page>
    );
  }
  const choice = organisations.length > 1 && (
    <Select
      className={styles.choice ?? ""}
      aria-label={t("organisation.choose")}
      value={chosen.id}
      options={organisations.map(({ id, name }) => ({ value: id, label: name }))}
      onChange={(id) => setParams({ id })}
    />
  );
  const administers = reaches(chosen.role, "admin");
  return (
    <Page
      title={organisations.length > 1 ? t("organisation.title") : chosen.name}
      tools={choice}
      narrow
    >
      <div className={styles.page}>
        <Members key={`members-${chosen.id}`} organisation={chosen} />
        {administers && <Invitations key={`invitations-${chosen.id}`} organisation={chosen} />}
        {administers && <RenameOrganisation key={`name-${chosen.id}`} organisation={chosen} />}
      </div>
    </Page>
  );
}
