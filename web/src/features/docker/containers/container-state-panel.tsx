import { useTranslation } from "react-i18next";
import type { ContainerDetails } from "@/api/docker";
import { Ago } from "@/components/ui/relative-time";
import styles from "@/features/docker/containers/container-page.module.css";
import { Fact, FactPanel } from "@/features/docker/containers/fact-panel";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

export function ContainerStatePanel({ details }: { details: ContainerDetails }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { restart_policy: policy, restart_count: restarts, health, error } = details;
  const stopped = details.state !== "running" && details.finished_at !== null;
  return (
    <FactPanel title={t("docker.facts")}>
      <dl className={styles.facts}>
        <Fact name={t("docker.image")}>{escapeInvisible(details.image)}</Fact>
        <Fact name={t("docker.command")}>
          <code>{escapeInvisible(details.command.join(" "))}</code>
        </Fact>
        {error !== "" && (
          <Fact name={t("docker.error")}>
            <span className={styles.bad}>{escapeInvisible(error)}</span>
          </Fact>
        )}
        {health !== "" && <Fact name={t("docker.health")}>{escapeInvisible(health)}</Fact>}
        {details.started_at && (
          <Fact name={t("docker.started")}>
            <Ago time={details.started_at} />
          </Fact>
        )}
        {stopped && details.finished_at && (
          <Fact name={t("docker.finished")}>
            <Ago time={details.finished_at} />
            {", "}
            {t("docker.exitCode", { code: details.exit_code })}
          </Fact>
        )}
        <Fact name={t("docker.restarts")}>
          {t("docker.policy", { policy: policy || "no", count: restarts })}
        </Fact>
        <Fact name={t("docker.limits")}>
          {t("docker.limitsOf", {
            memory: details.memory_limit_bytes
              ? format.size(details.memory_limit_bytes)
              : t("docker.unlimited"),
            cpu: details.cpu_limit ? String(details.cpu_limit) : t("docker.unlimited"),
          })}
        </Fact>
        {details.user !== "" && (
          <Fact name={t("docker.user")}>{escapeInvisible(details.user)}</Fact>
        )}
        {details.working_directory !== "" && (
          <Fact name={t("docker.directory")}>{escapeInvisible(details.working_directory)}</Fact>
        )}
        {details.privileged && (
          <Fact name={t("docker.privileged")}>
            <span className={styles.bad}>{t("docker.privilegedYes")}</span>
          </Fact>
        )}
        <Fact name="ID">
          <code>{details.id.slice(0, 12)}</code>
        </Fact>
      </dl>
    </FactPanel>
  );
}
