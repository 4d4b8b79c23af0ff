import { Button, Form, Input } from "antd";
import { useTranslation } from "react-i18next";
import { useRenameOrganisation } from "@/api/organisations";
import type { OwnOrganisation } from "@/api/session";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/organisation/organisation.module.css";

export function RenameOrganisation({ organisation }: { organisation: OwnOrganisation }) {
  const { t } = useTranslation();
  const rename = useRenameOrganisation(organisation.id);
  return (
    <section aria-labelledby="rename">
      <div className={styles.head}>
        <h2 id="rename">{t("organisation.rename")}</h2>
      </div>
      {rename.error && (
        <div className={styles.failure}>
          <FailureNote error={rename.error} />
        </div>
      )}
      <Form<{ name: string }>
        className={styles.rename ?? ""}
        initialValues={{ name: organisation.name }}
        onFinish={({ name }) => rename.mutate(name.trim())}
        onValuesChange={() => rename.reset()}
      >
        <Form.Item
          name="name"
          rules={[{ required: true, whitespace: true, message: t("organisation.nameMissing") }]}
        >
          <Input maxLength={100} autoComplete="off" aria-label={t("organisation.newName")} />
        </Form.Item>
        <Button htmlType="submit" loading={rename.isPending}>
          {t("action.save")}
        </Button>
        {rename.isSuccess && (
          <span className={styles.saved} role="status">
            {t("serverSettings.saved")}
          </span>
        )}
      </Form>
    </section>
  );
}
