import { Dropdown } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useSession } from "@/api/session";
import { AccountButton } from "@/app/account-button";
import { useLogOut } from "@/features/account/use-log-out";

// The account menu. It is loaded when it is first needed, and is open when it appears.
export function AccountMenu() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const leave = useLogOut();
  const name = useSession((session) => session.user?.username ?? "");
  const isAdmin = useSession((session) => session.user?.role === "admin");
  const [open, setOpen] = useState(true);
  const button = useRef<HTMLButtonElement>(null);
  // The menu replaces a button that had the focus.
  useEffect(() => button.current?.focus(), []);
  const menu = {
    items: [
      { key: "who", label: t("shell.loggedInAs", { name }), disabled: true },
      {
        key: "organisation",
        label: t("organisation.title"),
        onClick: () => void navigate("/organisation"),
      },
      ...(isAdmin
        ? [{ key: "users", label: t("users.title"), onClick: () => void navigate("/users") }]
        : []),
      { key: "settings", label: t("settings.title"), onClick: () => void navigate("/settings") },
      { type: "divider" as const },
      { key: "out", label: t("action.logOut"), onClick: leave },
    ],
  };
  return (
    <Dropdown
      menu={menu}
      trigger={["click"]}
      placement="topRight"
      open={open}
      onOpenChange={setOpen}
    >
      <AccountButton ref={button} />
    </Dropdown>
  );
}
