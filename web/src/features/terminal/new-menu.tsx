import { Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import type { ShellSession } from "@/api/shell";
import { Icon } from "@/components/ui/icons";
import { attachTo, NEW, type Wanted } from "@/features/terminal/use-tabs";
import { formatAbsolute } from "@/lib/format";

export interface NewMenuProps {
  // Sessions that run and are not on this page.
  running: readonly ShellSession[];
  me: string;
  blocked: boolean;
  onOpen: (wanted: Wanted) => void;
}

// A new terminal, or one that runs already.
export function NewMenu({ running, me, blocked, onOpen }: NewMenuProps) {
  const { t, i18n } = useTranslation();
  const plus = (
    <Button
      size="small"
      type="text"
      aria-label={t("terminal.new")}
      title={t("terminal.new")}
      icon={<Icon name="plus" size={15} />}
      {...(running.length === 0 && { disabled: blocked, onClick: () => onOpen(NEW) })}
    />
  );
  if (running.length === 0) return plus;
  const items = [
    { key: "new", label: t("terminal.new"), disabled: blocked, onClick: () => onOpen(NEW) },
    { type: "divider" as const },
    ...running.map((session) => ({
      key: session.id,
      icon: <Icon name={session.username === me ? "terminal" : "eye"} size={14} />,
      label: t(session.username === me ? "terminal.attachTo" : "terminal.watchOf", {
        name: session.username,
        time: formatAbsolute(session.started_at, i18n.language),
      }),
      onClick: () => onOpen(attachTo(session, me)),
    })),
  ];
  return (
    <Dropdown menu={{ items }} trigger={["click"]}>
      {plus}
    </Dropdown>
  );
}
