import { App, Button, Form, Input, InputNumber, Radio, Select } from "antd";
import { useTranslation } from "react-i18next";
import { type Traffic, useCorrectTraffic } from "@/api/traffic";
import { FailureNote } from "@/components/ui/failure-note";
import {
  MAX_BYTES,
  periodText,
  toBytes,
  UNITS,
  type Unit,
} from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import { useFormat } from "@/lib/use-format";

interface Fields {
  month: string;
  sign: 1 | -1;
  rx: number | null;
  tx: number | null;
  unit: Unit;
  reason: string;
}

const REASON_LENGTH = 500;

interface Props {
  id: string;
  months: Traffic["months"];
  timeZone: string;
}

export function CorrectionForm({ id, months, timeZone }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const { message } = App.useApp();
  const [form] = Form.useForm<Fields>();
  const unit = Form.useWatch("unit", form) ?? "GB";
  const correct = useCorrectTraffic(id);
  const save = ({ month, sign, rx, tx, unit: chosen, reason }: Fields) =>
    correct.mutate(
      {
        month,
        rx: sign * toBytes(rx, chosen),
        tx: sign * toBytes(tx, chosen),
        reason: reason.trim(),
      },
      {
        onSuccess: () => {
          form.resetFields();
          void message.success(t("traffic.corrected"));
        },
      },
    );
  const amount = <InputNumber min={0} max={MAX_BYTES / UNITS[unit]} placeholder="0" />;
  return (
    <Form<Fields>
      form={form}
      layout="vertical"
      requiredMark={false}
      initialValues={{ month: months[0]?.month, sign: 1, rx: null, tx: null, unit: "GB" }}
      onFinish={save}
    >
      <Form.Item name="month" label={t("traffic.period")}>
        <Select
          options={months.map((month) => ({
            value: month.month,
            label: periodText(month, timeZone, format),
          }))}
        />
      </Form.Item>
      <Form.Item name="sign" label={t("traffic.what")}>
        <Radio.Group
          options={[
            { value: 1, label: t("traffic.add") },
            { value: -1, label: t("traffic.takeOff") },
          ]}
        />
      </Form.Item>
      <div className={styles.row}>
        <Form.Item
          name="rx"
          label={`↓ ${t("traffic.in")}`}
          dependencies={["tx"]}
          rules={[
            ({ getFieldValue }) => ({
              validator: async (_, rx: number | null) => {
                if (!rx && !getFieldValue("tx")) throw new Error(t("traffic.amountMissing"));
              },
            }),
          ]}
        >
          {amount}
        </Form.Item>
        <Form.Item name="tx" label={`↑ ${t("traffic.out")}`}>
          {amount}
        </Form.Item>
        <Form.Item name="unit" label={t("traffic.unit")} className={styles.unit ?? ""}>
          <Select options={Object.keys(UNITS).map((name) => ({ value: name, label: name }))} />
        </Form.Item>
      </div>
      <Form.Item
        name="reason"
        label={t("traffic.reason")}
        extra={t("traffic.reasonHint")}
        rules={[{ required: true, whitespace: true, message: t("traffic.reasonMissing") }]}
      >
        <Input maxLength={REASON_LENGTH} />
      </Form.Item>
      {correct.error && <FailureNote error={correct.error} />}
      <div className={styles.actions}>
        <Button htmlType="submit" loading={correct.isPending}>
          {t("traffic.addCorrection")}
        </Button>
      </div>
    </Form>
  );
}
