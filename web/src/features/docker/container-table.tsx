import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import type { Group } from "@/features/docker/container-groups";
import { ContainerRow } from "@/features/docker/container-row";
import styles from "@/features/docker/docker.module.css";
import { ProjectHead } from "@/features/docker/project-head";
import type { Acts } from "@/features/docker/use-acts";
import { useConfirmedAct } from "@/features/docker/use-confirmed-act";

interface Props {
  vps: Vps;
  groups: readonly Group[];
  // Whether the engine answers; otherwise nothing can be asked of it.
  live: boolean;
  acts: Acts;
}

export function ContainerTable({ vps, groups, live, acts }: Props) {
  const { t } = useTranslation();
  const act = useConfirmedAct(vps);
  const may = live && vps.powers?.docker === "actions";
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
              <ProjectHead vps={vps} project={project} containers={containers} may={may} />
            )}
            {containers.map((container) => (
              <ContainerRow
                key={container.id}
                server={vps.id}
                container={container}
                live={live}
                may={may}
                doing={acts.doing.get(container.id)}
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
