import { App, Button, Checkbox, Form, Select } from "antd";
import { useTranslation } from "react-i18next";
import { useUpdateVps, type Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import {
  COLLECTORS,
  INTERVALS,
  LOG_LEVELS,
  type ReportingFields,
  toConfig,
  toFields,
} from "@/features/server/reporting-fields";
import styles from "@/features/server/settings.module.css";

export function ReportingForm({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const update = useUpdateVps(vps.id);
  const own = { value: "own" as const, label: t("serverSettings.own") };
  const save = (fields: ReportingFields) =>
    update.mutate(
      { agent_config: toConfig(fields, vps.agent_config) },
      {
        onSuccess: () =>
          message.success(
            t(vps.status === "online" ? "serverSettings.pushed" : "serverSettings.pushedLater"),
          ),
      },
    );
  return (
    <section>
      <h2>{t("serverSettings.reporting")}</h2>
      <p>{t("serverSettings.reportingHint")}</p>
      <Form<ReportingFields>
        layout="vertical"
        initialValues={toFields(vps.agent_config)}
        onFinish={save}
      >
        <Form.Item name="interval" label={t("serverSettings.interval")}>
          <Select
            options={[
              own,
              ...INTERVALS.map((seconds) => ({
                value: seconds,
                label: t("serverSettings.everySeconds", { seconds }),
              })),
            ]}
          />
        </Form.Item>
        <Form.Item name="level" label={t("serverSettings.logLevel")}>
          <Select
            options={[
              own,
              ...LOG_LEVELS.map((level) => ({ value: level, label: t(`logLevel.${level}`) })),
            ]}
          />
        </Form.Item>
        <Form.Item name="docker" label={t("serverSettings.docker")}>
          <Select
            options={[
              own,
              { value: "on", label: t("serverSettings.on") },
              { value: "off", label: t("serverSettings.off") },
            ]}
          />
        </Form.Item>
        <Form.Item name="collectors" label={t("serverSettings.collectors")}>
          <Checkbox.Group
            className={styles.collectors ?? ""}
            options={COLLECTORS.map((name) => ({ value: name, label: t(`collector.${name}`) }))}
          />
        </Form.Item>
        {update.error && <FailureNote error={update.error} />}
        <div className={styles.actions}>
          <Button htmlType="submit" type="primary" loading={update.isPending}>
            {t("action.save")}
          </Button>
        </div>
      </Form>
    </section>
  );
}
