import { App } from "antd";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";
import { type Act, type Container, useContainerAct } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { nameOf } from "@/features/docker/container-groups";
import { visible } from "@/lib/visible";

type Disruptive = "stop" | "restart" | "kill" | "remove";

function isDisruptive(act: Act): act is Disruptive {
  return act === "stop" || act === "restart" || act === "kill" || act === "remove";
}

// Does it at once, or after a question where it takes something away. Resolves to whether it began.
export function useConfirmedAct(vps: Vps) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const { mutate } = useContainerAct(vps.id);
  return useCallback(
    async (container: Container, act: Act): Promise<boolean> => {
      if (isDisruptive(act)) {
        const names = { container: visible(nameOf(container)), server: vps.name };
        const confirmed = await modal.confirm({
          title: t(`docker.ask.${act}`, names),
          content: t(`docker.will.${act}`),
          okText: t(`docker.act.${act}`),
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
