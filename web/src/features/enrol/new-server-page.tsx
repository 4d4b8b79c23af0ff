import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { type Enrolment, vpsQuery, type WantedPowers } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { Page } from "@/components/ui/page";
import { PageSkeleton } from "@/components/ui/page-skeleton";
import { InstallLine } from "@/features/enrol/install-line";
import { NameForm } from "@/features/enrol/name-form";
import styles from "@/features/enrol/new-server-page.module.css";

const POLL = 5_000; // ms; should the live socket be away

interface Issued {
  id: string;
  enrolment: Enrolment;
  powers: WantedPowers;
}

export function NewServerPage() {
  const { t } = useTranslation();
  const [params, setParams] = useSearchParams();
  // Shown once and kept nowhere: whoever reloads makes a new line.
  const [issued, setIssued] = useState<Issued | null>(null);
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
      {id === null ? (
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
  // Whether a server that has come already is to be installed anew.
  again: boolean;
  issued: Issued | null;
  onIssued: (enrolment: Enrolment, powers: WantedPowers) => void;
}

function Waiting({ id, again, issued, onIssued }: WaitingProps) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    ...vpsQuery(id),
    refetchInterval: (query) => (query.state.data?.status === "pending" ? POLL : false),
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
        <h2>{t("enrol.online", { name: data.name })}</h2>
        <p>{data.facts?.os_name}</p>
      </div>
      <Link to={`/servers/${id}`}>{t("enrol.open")} →</Link>
      <Link to="/servers/new">{t("enrol.another")}</Link>
    </section>
  );
}
