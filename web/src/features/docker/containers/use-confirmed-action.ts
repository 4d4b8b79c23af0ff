import { App } from "antd";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";
import { type Container, type ContainerAction, useContainerAction } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { nameOf } from "@/features/docker/containers/container-groups";
import { escapeInvisible } from "@/lib/escape-invisible";

type Disruptive = "stop" | "restart" | "kill" | "remove";

function isDisruptive(act: ContainerAction): act is Disruptive {
  return act === "stop" || act === "restart" || act === "kill" || act === "remove";
}

// Returns a function that starts an action, after a confirmation if it interrupts a service. It
// resolves to true if the action was started.
export function useConfirmedAction(vps: Vps) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const { mutate } = useContainerAction(vps.id);
  return useCallback(
    async (container: Container, act: ContainerAction): Promise<boolean> => {
      if (isDisruptive(act)) {
        const names = { container: escapeInvisible(nameOf(container)), server: vps.name };
        const confirmed = await modal.confirm({
          title: t(`docker.confirm.${act}`, names),
          content: t(`docker.consequence.${act}`),
          okText: t(`docker.action.${act}`),
          okButtonProps: { danger: act !== "restart" },
          cancelText: t("action.cancel"),
          focusable: { autoFocusButton: "cancel" },
        });
        if (!confirmed) return false;
      }
      mutate({ cid: container.id, act });
      return true;
    },
    [modal, mutate, t, vps.name],
  );
}
