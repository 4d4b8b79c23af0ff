import { App, Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Container, useContainerAction } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { Icon } from "@/components/ui/icons";
import { inStartOrder, isUp, nameOf } from "@/features/docker/containers/container-groups";

import styles from "@/features/docker/docker.module.css";
import { COLUMNS } from "@/features/docker/format";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Run {
  act: "start" | "stop";
  done: number;
  failed: number;
  total: number;
}

interface Props {
  vps: Vps;
  project: string | null;
  containers: readonly Container[];
  canAct: boolean;
}

export function ProjectHead({ vps, project, containers, canAct }: Props) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const { mutateAsync } = useContainerAction(vps.id);
  const [run, setRun] = useState<Run | null>(null);
  const up = containers.filter(isUp).length;
  const running = run !== null && run.done + run.failed < run.total;
  const name = project === null ? t("docker.noProject") : escapeInvisible(project);

  const all = async (act: Run["act"]) => {
    const chosen = inStartOrder(containers, act);
    if (act === "stop") {
      const confirmed = await modal.confirm({
        title: t("docker.confirm.stopAll", { project: name, server: vps.name }),
        content: t("docker.consequence.stopAll", {
          names: chosen.map((one) => escapeInvisible(nameOf(one))).join(", "),
        }),
        okText: t("docker.stopAll"),
        okButtonProps: { danger: true },
        cancelText: t("action.cancel"),
        focusable: { autoFocusButton: "cancel" },
      });
      if (!confirmed) return;
    }
    const state: Run = { act, done: 0, failed: 0, total: chosen.length };
    setRun({ ...state });
    for (const { id } of chosen) {
      // A failure is shown in the row of the container; the others are still processed.
      await mutateAsync({ cid: id, act }).then(
        () => {
          state.done += 1;
        },
        () => {
          state.failed += 1;
        },
      );
      setRun({ ...state });
    }
  };

  return (
    <tr className={styles.project}>
      <th colSpan={COLUMNS} scope="rowgroup">
        <div>
          <span>{name}</span>
          <small>{t("docker.upOf", { up, total: containers.length })}</small>
          <span role="status" className={styles.progress}>
            {run &&
              t(run.failed > 0 ? `docker.run.${run.act}Failed` : `docker.run.${run.act}`, {
                ...run,
              })}
          </span>
          {canAct && project !== null && (
            <span className={styles.actions}>
              <Button
                size="small"
                type="text"
                disabled={running || up === containers.length}
                icon={<Icon name="play" size={13} />}
                aria-label={t("docker.actOn", { act: t("docker.startAll"), name })}
                onClick={() => void all("start")}
              >
                <span className={styles.label}>{t("docker.startAll")}</span>
              </Button>
              <Button
                size="small"
                type="text"
                disabled={running || up === 0}
                icon={<Icon name="stop" size={13} />}
                aria-label={t("docker.actOn", { act: t("docker.stopAll"), name })}
                onClick={() => void all("stop")}
              >
                <span className={styles.label}>{t("docker.stopAll")}</span>
              </Button>
            </span>
          )}
        </div>
      </th>
    </tr>
  );
}
