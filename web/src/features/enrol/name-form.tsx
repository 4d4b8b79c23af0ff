import { Button, Form, Input } from "antd";
import { useTranslation } from "react-i18next";
import { useCreateVps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/enrol/new-server-page.module.css";

type Created = NonNullable<ReturnType<typeof useCreateVps>["data"]>;

export function NameForm({ onCreated }: { onCreated: (vps: Created) => void }) {
  const { t } = useTranslation();
  const create = useCreateVps();
  return (
    <section className={styles.box}>
      <h2>{t("enrol.nameTitle")}</h2>
      <p>{t("enrol.nameText")}</p>
      <Form<{ name: string }>
        layout="vertical"
        requiredMark={false}
        onFinish={({ name }) => create.mutate(name.trim(), { onSuccess: onCreated })}
      >
        <Form.Item
          name="name"
          label={t("enrol.name")}
          rules={[{ required: true, whitespace: true, message: t("enrol.nameMissing") }]}
        >
          <Input
            autoFocus
            maxLength={100}
            autoComplete="off"
            spellCheck={false}
            placeholder={t("enrol.namePlaceholder")}
          />
        </Form.Item>
        {create.error && <FailureNote error={create.error} />}
        <Button type="primary" htmlType="submit" loading={create.isPending}>
          {t("enrol.create")}
        </Button>
      </Form>
    </section>
  );
}
