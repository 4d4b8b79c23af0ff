import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useLocation } from "react-router";
import { fleetQuery } from "@/api/vps";

const TABS = ["history", "docker", "terminal", "files", "traffic", "settings"] as const;

// The title of the window names the page, after the number of servers that are down.
export function DocumentTitle() {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  const { data: fleet = [] } = useQuery(fleetQuery());
  const down = fleet.filter(({ status }) => status === "offline" || status === "stale").length;
  const [, area, id, tab] = pathname.split("/");
  const server = fleet.find((vps) => vps.id === id);
  const page =
    area === "settings" || area === "audit" || area === "organisation" || area === "users"
      ? t(`${area}.title`)
      : area === "servers" && id === "new"
        ? t("action.addServer")
        : area === "servers"
          ? (server?.name ?? "")
          : t("fleet.title");
  const part = TABS.find((name) => name === tab);
  const parts = [part && t(`server.${part}`), page, "Flotilla"].filter(Boolean);
  return <title>{`${down > 0 ? `(${down}) ` : ""}${parts.join(" · ")}`}</title>;
}
