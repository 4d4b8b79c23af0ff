import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import type { Group } from "@/features/docker/containers/container-groups";
import { ContainerRow } from "@/features/docker/containers/container-row";
import { ProjectHead } from "@/features/docker/containers/project-head";
import { useConfirmedAction } from "@/features/docker/containers/use-confirmed-action";
import type { ActionStates } from "@/features/docker/containers/use-container-actions";
import styles from "@/features/docker/docker.module.css";

interface Props {
  vps: Vps;
  groups: readonly Group[];
  // False if the Docker engine does not answer; actions are then hidden.
  live: boolean;
  acts: ActionStates;
}

export function ContainerTable({ vps, groups, live, acts }: Props) {
  const { t } = useTranslation();
  const act = useConfirmedAction(vps);
  const canAct = live && vps.powers?.docker === "actions";
  return (
    <div className={styles.box}>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">{t("docker.name")}</th>
            <th scope="col">{t("docker.stateHead")}</th>
            <th scope="col">{t("docker.image")}</th>
            <th scope="col">{t("docker.ports")}</th>
            <th scope="col">{t("metric.cpu")}</th>
            <th scope="col">{t("metric.memory")}</th>
            <th scope="col">{t("metric.network")}</th>
            <th scope="col">
              <span className="sr-only">{t("docker.actions")}</span>
            </th>
          </tr>
        </thead>
        {groups.map(({ project, containers }) => (
          <tbody key={project ?? ""} data-testid="container-group">
            {(project !== null || groups.length > 1) && (
              <ProjectHead vps={vps} project={project} containers={containers} canAct={canAct} />
            )}
            {containers.map((container) => (
              <ContainerRow
                key={container.id}
                server={vps.id}
                container={container}
                live={live}
                canAct={canAct}
                pending={acts.pending.get(container.id)}
                onAct={(one, what) => void act(one, what)}
                onDismiss={acts.dismiss}
              />
            ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}
