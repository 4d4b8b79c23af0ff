import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { useOrganisations } from "@/api/access";
import { type Enrolment, type RequestedPermissions, vpsQuery } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Page } from "@/components/ui/page";
import { PageSkeleton } from "@/components/ui/page-skeleton";
import { InstallLine } from "@/features/enrolment/install-line";
import { NameForm } from "@/features/enrolment/name-form";
import styles from "@/features/enrolment/new-server-page.module.css";

const POLL_INTERVAL = 5_000; // ms; in case the live socket is disconnected

interface Issued {
  id: string;
  enrolment: Enrolment;
  powers: RequestedPermissions;
}

export function NewServerPage() {
  const { t } = useTranslation();
  const [params, setParams] = useSearchParams();
  // The install line is shown once and not stored. After a reload a new one must be created.
  const [issued, setIssued] = useState<Issued | null>(null);
  const mayAdd = useOrganisations("admin").length > 0;
  const id = params.get("id");
  const title = (
    <span className={styles.title}>
      <Link to="/">{t("fleet.title")}</Link>
      <i aria-hidden="true">/</i>
      {t("action.addServer")}
    </span>
  );
  return (
    <Page title={title} narrow>
      {!mayAdd ? (
        <EmptyState icon="lock" title={t("server.roleTitle")} text={t("enrolment.adminsOnly")} />
      ) : id === null ? (
        <NameForm
          onCreated={(vps, powers) => {
            setIssued({ id: vps.id, enrolment: vps.enrolment, powers });
            setParams({ id: vps.id }, { replace: true });
          }}
        />
      ) : (
        <Waiting
          id={id}
          again={params.has("again")}
          issued={issued?.id === id ? issued : null}
          onIssued={(enrolment, powers) => setIssued({ id, enrolment, powers })}
        />
      )}
    </Page>
  );
}

interface WaitingProps {
  id: string;
  // True if a server that is already connected shall be installed again.
  again: boolean;
  issued: Issued | null;
  onIssued: (enrolment: Enrolment, powers: RequestedPermissions) => void;
}

function Waiting({ id, again, issued, onIssued }: WaitingProps) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    ...vpsQuery(id),
    refetchInterval: (query) => (query.state.data?.status === "pending" ? POLL_INTERVAL : false),
  });
  if (!data) {
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <PageSkeleton />;
  }
  if (data.status === "pending" || again) {
    return <InstallLine vps={data} issued={issued} onIssued={onIssued} />;
  }
  return (
    <section className={styles.done} role="status" data-testid="enrolled">
      <i aria-hidden="true" />
      <div>
        <h2>{t("enrolment.online", { name: data.name })}</h2>
        <p>{data.facts?.os_name}</p>
      </div>
      <Link to={`/servers/${id}`}>{t("enrolment.open")} →</Link>
      <Link to="/servers/new">{t("enrolment.another")}</Link>
    </section>
  );
}
