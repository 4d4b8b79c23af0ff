import { App } from "antd";
import { useTranslation } from "react-i18next";
import { type OrganisationRole, reaches } from "@/api/access";
import type { Member } from "@/api/organisations";
import type { OwnOrganisation } from "@/api/session";

interface Question {
  title: string;
  content: string;
  okText: string;
}

// Questions before changes of members that take rights away. Each resolves to the answer.
export function useConfirmedChange({ name, role: own }: OwnOrganisation) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const ask = async (question: Question): Promise<boolean> =>
    modal.confirm({
      ...question,
      okButtonProps: { danger: true },
      cancelText: t("action.cancel"),
      focusable: { autoFocusButton: "cancel" },
    });
  return {
    remove: ({ username }: Member) =>
      ask({
        title: t("organisation.removeAsk", { user: username, name }),
        content: t("organisation.removeText"),
        okText: t("organisation.remove"),
      }),
    leave: () =>
      ask({
        title: t("organisation.leaveAsk", { name }),
        content: t("organisation.leaveText"),
        okText: t("organisation.leave"),
      }),
    lowerOwnRole: (role: OrganisationRole) =>
      reaches(role, own)
        ? Promise.resolve(true)
        : ask({
            title: t("organisation.lowerAsk", { role: t(`organisationRole.${role}`) }),
            content: t("organisation.lowerText"),
            okText: t("organisation.lower"),
          }),
  };
}
