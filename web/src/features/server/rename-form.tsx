import { Button, Form, Input } from "antd";
import { useTranslation } from "react-i18next";
import { useUpdateVps, type Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/server/settings.module.css";

export function RenameForm({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const update = useUpdateVps(vps.id);
  return (
    <section>
      <h2>{t("serverSettings.name")}</h2>
      <p>{t("serverSettings.nameHint")}</p>
      <Form<{ name: string }>
        layout="vertical"
        requiredMark={false}
        initialValues={{ name: vps.name }}
        onFinish={({ name }) => update.mutate({ name: name.trim() })}
        onValuesChange={() => update.reset()}
      >
        <Form.Item
          name="name"
          label={t("serverSettings.name")}
          rules={[{ required: true, whitespace: true, message: t("enrolment.nameMissing") }]}
        >
          <Input maxLength={100} />
        </Form.Item>
        {update.error && <FailureNote error={update.error} />}
        <div className={styles.actions}>
          <Button htmlType="submit" type="primary" loading={update.isPending}>
            {t("action.save")}
          </Button>
          {update.isSuccess && (
            <span className={styles.saved} role="status">
              {t("serverSettings.saved")}
            </span>
          )}
        </div>
      </Form>
    </section>
  );
}
