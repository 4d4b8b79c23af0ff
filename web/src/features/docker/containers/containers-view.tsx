import { useQuery } from "@tanstack/react-query";
import { Input, Segmented } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { containersQuery } from "@/api/docker";
import { EmptyState } from "@/components/ui/empty-state";
import { Icon } from "@/components/ui/icons";
import {
  type Filter,
  groupContainers,
  stateCounts,
} from "@/features/docker/containers/container-groups";
import { ContainerTable } from "@/features/docker/containers/container-table";
import { useContainerActions } from "@/features/docker/containers/use-container-actions";
import styles from "@/features/docker/docker.module.css";
import { EngineNote } from "@/features/docker/engine-note";
import { useServerContext } from "@/features/server/server-context";
import { escapeInvisible } from "@/lib/escape-invisible";

const POLL_INTERVAL = 5_000; // ms, while the page is visible

export function ContainersView() {
  const { vps } = useServerContext();
  const { t, i18n } = useTranslation();
  const [filter, setFilter] = useState<Filter>({ text: "", state: "" });
  const acts = useContainerActions(vps.id);
  const { data, error, refetch } = useQuery({
    ...containersQuery(vps.id),
    refetchInterval: POLL_INTERVAL,
  });
  if (!data) {
    if (error) return <EngineNote vps={vps} error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const { items } = data;
  const shown = groupContainers(items, filter);
  const stateName = (state: string) =>
    i18n.exists(`docker.state.${state}`)
      ? t(`docker.state.${state as "running"}`)
      : escapeInvisible(state);
  return (
    <div className={styles.docker}>
      <EngineNote vps={vps} list={data} error={error} onRetry={() => void refetch()} />
      {items.length === 0 ? (
        <EmptyState icon="container" title={t("docker.emptyTitle")} text={t("docker.emptyText")} />
      ) : (
        <>
          <div className={styles.bar}>
            <Input
              allowClear
              className={styles.search ?? ""}
              prefix={<Icon name="search" size={14} />}
              placeholder={t("docker.search")}
              aria-label={t("docker.search")}
              value={filter.text}
              onChange={(event) => setFilter({ ...filter, text: event.target.value })}
            />
            <div className={styles.states}>
              <Segmented<string>
                aria-label={t("docker.stateFilter")}
                value={filter.state}
                onChange={(state) => setFilter({ ...filter, state })}
                options={[
                  { value: "", label: t("docker.all", { n: items.length }) },
                  ...stateCounts(items).map(([state, count]) => ({
                    value: state,
                    label: `${stateName(state)} ${count}`,
                  })),
                ]}
              />
            </div>
          </div>
          {data.truncated && (
            <p className={styles.note}>{t("docker.truncated", { n: items.length })}</p>
          )}
          {shown.length > 0 ? (
            <ContainerTable vps={vps} groups={shown} live={data.live && !error} acts={acts} />
          ) : (
            <p className={styles.nothing}>{t("docker.noMatch")}</p>
          )}
        </>
      )}
    </div>
  );
}
