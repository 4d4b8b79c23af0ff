import { Button, Form, Input, Select } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useOrganisations } from "@/api/access";
import { type RequestedPermissions, useCreateVps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/enrolment/new-server-page.module.css";
import { PermissionFields } from "@/features/enrolment/permission-fields";
import { NO_PERMISSIONS, withoutBlankRoots } from "@/features/enrolment/requested-permissions";

type Created = NonNullable<ReturnType<typeof useCreateVps>["data"]>;

interface Fields {
  name: string;
  // Asked for only if there are several.
  organisation_id?: string | null;
}

interface Props {
  onCreated: (vps: Created, powers: RequestedPermissions) => void;
}

export function NameForm({ onCreated }: Props) {
  const { t } = useTranslation();
  const create = useCreateVps();
  const [requested, setWanted] = useState(NO_PERMISSIONS);
  const organisations = useOrganisations("admin");
  const submit = ({ name, organisation_id = null }: Fields) => {
    const powers = withoutBlankRoots(requested);
    const onSuccess = (vps: Created) => onCreated(vps, powers);
    create.mutate({ name: name.trim(), powers, organisation_id }, { onSuccess });
  };
  return (
    <section className={styles.box}>
      <h2>{t("enrolment.nameTitle")}</h2>
      <p>{t("enrolment.nameText")}</p>
      <Form<Fields>
        layout="vertical"
        requiredMark={false}
        initialValues={{ organisation_id: organisations[0]?.id }}
        onFinish={submit}
      >
        <Form.Item
          name="name"
          label={t("enrolment.name")}
          rules={[{ required: true, whitespace: true, message: t("enrolment.nameMissing") }]}
        >
          <Input
            autoFocus
            maxLength={100}
            autoComplete="off"
            spellCheck={false}
            placeholder={t("enrolment.namePlaceholder")}
          />
        </Form.Item>
        {organisations.length > 1 && (
          <Form.Item name="organisation_id" label={t("organisation.title")}>
            <Select options={organisations.map(({ id, name }) => ({ value: id, label: name }))} />
          </Form.Item>
        )}
        <PermissionFields value={requested} onChange={setWanted} />
        {create.error && <FailureNote error={create.error} />}
        <Button type="primary" htmlType="submit" loading={create.isPending}>
          {t("enrolment.create")}
        </Button>
      </Form>
    </section>
  );
}
