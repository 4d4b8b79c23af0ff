import { App, Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type Container, useContainerAct } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { Icon } from "@/components/ui/icons";
import { inTurn, isUp, nameOf } from "@/features/docker/container-groups";

import styles from "@/features/docker/docker.module.css";
import { COLUMNS } from "@/features/docker/figures";
import { visible } from "@/lib/visible";

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
  may: boolean;
}

export function ProjectHead({ vps, project, containers, may }: Props) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const { mutateAsync } = useContainerAct(vps.id);
  const [run, setRun] = useState<Run | null>(null);
  const up = containers.filter(isUp).length;
  const running = run !== null && run.done + run.failed < run.total;
  const name = project === null ? t("docker.noProject") : visible(project);

  const all = async (act: Run["act"]) => {
    const chosen = inTurn(containers, act);
    if (act === "stop") {
      const confirmed = await modal.confirm({
        title: t("docker.ask.stopAll", { project: name, server: vps.name }),
        content: t("docker.will.stopAll", {
          names: chosen.map((one) => visible(nameOf(one))).join(", "),
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
      // What fails is told in its own row; the others still get their turn.
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
          {may && project !== null && (
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
