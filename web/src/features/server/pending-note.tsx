import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useRights } from "@/api/access";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";

// Shown in place of data until the agent of a server has connected.
export function PendingNote({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const { manage } = useRights(vps);
  return (
    <EmptyState
      icon="server"
      title={t("card.waiting")}
      text={t(manage ? "server.pendingText" : "server.pendingOther")}
    >
      {manage && <Link to={`/servers/new?id=${vps.id}`}>{t("card.showLine")}</Link>}
    </EmptyState>
  );
}
