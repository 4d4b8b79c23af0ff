import { Button, Form, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useCreateVps, type WantedPowers } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/enrol/new-server-page.module.css";
import { PowersFields } from "@/features/enrol/powers-fields";
import { askedFor, NO_POWERS } from "@/features/enrol/wanted-powers";

type Created = NonNullable<ReturnType<typeof useCreateVps>["data"]>;

interface Props {
  onCreated: (vps: Created, powers: WantedPowers) => void;
}

export function NameForm({ onCreated }: Props) {
  const { t } = useTranslation();
  const create = useCreateVps();
  const [wanted, setWanted] = useState(NO_POWERS);
  const submit = ({ name }: { name: string }) => {
    const powers = askedFor(wanted);
    const onSuccess = (vps: Created) => onCreated(vps, powers);
    create.mutate({ name: name.trim(), powers }, { onSuccess });
  };
  return (
    <section className={styles.box}>
      <h2>{t("enrol.nameTitle")}</h2>
      <p>{t("enrol.nameText")}</p>
      <Form<{ name: string }> layout="vertical" requiredMark={false} onFinish={submit}>
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
        <PowersFields value={wanted} onChange={setWanted} />
        {create.error && <FailureNote error={create.error} />}
        <Button type="primary" htmlType="submit" loading={create.isPending}>
          {t("enrol.create")}
        </Button>
      </Form>
    </section>
  );
}
