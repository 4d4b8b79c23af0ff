import { Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import type { ShellSession } from "@/api/shell";
import { Icon } from "@/components/ui/icons";
import { attachRequest, NEW_TERMINAL, type TerminalRequest } from "@/features/terminal/use-tabs";
import { useFormat } from "@/lib/use-format";

export interface NewMenuProps {
  // Running sessions that are not open on this page.
  running: readonly ShellSession[];
  me: string;
  blocked: boolean;
  onOpen: (request: TerminalRequest) => void;
}

// Opens a new terminal, or one that is already running.
export function NewMenu({ running, me, blocked, onOpen }: NewMenuProps) {
  const { t } = useTranslation();
  const format = useFormat();
  const plus = (
    <Button
      size="small"
      type="text"
      aria-label={t("terminal.new")}
      title={t("terminal.new")}
      icon={<Icon name="plus" size={15} />}
      {...(running.length === 0 && { disabled: blocked, onClick: () => onOpen(NEW_TERMINAL) })}
    />
  );
  if (running.length === 0) return plus;
  const items = [
    {
      key: "new",
      label: t("terminal.new"),
      disabled: blocked,
      onClick: () => onOpen(NEW_TERMINAL),
    },
    { type: "divider" as const },
    ...running.map((session) => ({
      key: session.id,
      icon: <Icon name={session.username === me ? "terminal" : "eye"} size={14} />,
      label: t(session.username === me ? "terminal.attachTo" : "terminal.watchOf", {
        name: session.username,
        time: format.dateTime(session.started_at),
      }),
      onClick: () => onOpen(attachRequest(session, me)),
    })),
  ];
  return (
    <Dropdown menu={{ items }} trigger={["click"]}>
      {plus}
    </Dropdown>
  );
}
