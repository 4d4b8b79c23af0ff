import { App, Button, Checkbox, Form, Select } from "antd";
import { useTranslation } from "react-i18next";
import { type AgentConfig, useUpdateVps, type Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/server/server.module.css";

const COLLECTORS = [
  "cpu",
  "load",
  "memory",
  "disk",
  "disk_io",
  "network",
  "connections",
  "processes",
  "uptime",
  "temperature",
] as const;
const INTERVALS = [1, 2, 5, 10, 30, 60]; // seconds
const LEVELS = ["debug", "info", "warning", "error"] as const;

// Null, "as the host's own file says", is a choice of its own; a select needs a value for it.
interface Fields {
  interval: number | "own";
  level: NonNullable<AgentConfig["log_level"]> | "own";
  docker: "own" | "on" | "off";
  collectors: string[];
}

function toFields(config: AgentConfig): Fields {
  const { report_interval_seconds, log_level, docker_enabled, disabled_collectors } = config;
  return {
    interval: report_interval_seconds ?? "own",
    level: log_level ?? "own",
    docker: docker_enabled === null ? "own" : docker_enabled ? "on" : "off",
    collectors: COLLECTORS.filter((name) => !disabled_collectors?.includes(name)),
  };
}

function toConfig(fields: Fields, before: AgentConfig): Omit<AgentConfig, "revision"> {
  const off = COLLECTORS.filter((name) => !fields.collectors.includes(name));
  // Names this console does not know stay as they were.
  const others = (before.disabled_collectors ?? []).filter(
    (name) => !COLLECTORS.some((known) => known === name),
  );
  const disabled = [...off, ...others];
  return {
    report_interval_seconds: fields.interval === "own" ? null : fields.interval,
    log_level: fields.level === "own" ? null : fields.level,
    docker_enabled: fields.docker === "own" ? null : fields.docker === "on",
    disabled_collectors:
      disabled.length === 0 && before.disabled_collectors === null ? null : disabled,
  };
}

export function ReportingForm({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const update = useUpdateVps(vps.id);
  const own = { value: "own" as const, label: t("serverSettings.own") };
  const save = (fields: Fields) =>
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
      <Form<Fields> layout="vertical" initialValues={toFields(vps.agent_config)} onFinish={save}>
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
              ...LEVELS.map((level) => ({ value: level, label: t(`logLevel.${level}`) })),
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
