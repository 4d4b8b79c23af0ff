import { App, Button, Form, InputNumber, Radio, Select } from "antd";
import { useTranslation } from "react-i18next";
import { type Counted, type TrafficSettings, usePutTrafficSettings } from "@/api/traffic";
import { FailureNote } from "@/components/ui/failure-note";
import { inUnit, MAX_BYTES, toBytes, UNITS, type Unit } from "@/features/traffic/monthly-traffic";
import styles from "@/features/traffic/traffic.module.css";
import { timeZoneNames } from "@/lib/format/zone-names";

interface Fields {
  resetDay: number;
  timeZone: string;
  counted: Counted;
  allowance: number | null;
  unit: Unit;
}

const COUNTED: readonly Counted[] = ["both", "out", "in", "max"];
const LAST_DAY = 31;

function toFields({ reset_day, time_zone, counted, allowance }: TrafficSettings): Fields {
  const { amount, unit } = allowance ? inUnit(allowance) : { amount: null, unit: "TB" as const };
  return { resetDay: reset_day, timeZone: time_zone, counted, allowance: amount, unit };
}

export function CountingForm({ id, settings }: { id: string; settings: TrafficSettings }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [form] = Form.useForm<Fields>();
  const unit = Form.useWatch("unit", form) ?? "TB";
  const put = usePutTrafficSettings(id);
  const zones = new Set([settings.time_zone, ...timeZoneNames()]);
  const save = (fields: Fields) =>
    put.mutate(
      {
        reset_day: fields.resetDay,
        time_zone: fields.timeZone,
        counted: fields.counted,
        allowance: toBytes(fields.allowance, fields.unit) || null,
      },
      { onSuccess: () => message.success(t("traffic.saved")) },
    );
  return (
    <Form<Fields>
      form={form}
      layout="vertical"
      requiredMark={false}
      initialValues={toFields(settings)}
      onFinish={save}
    >
      <div className={styles.row}>
        <Form.Item
          name="resetDay"
          label={t("traffic.resetDay")}
          extra={t("traffic.resetDayHint")}
          rules={[{ required: true, message: t("traffic.resetDayMissing") }]}
        >
          <InputNumber min={1} max={LAST_DAY} precision={0} />
        </Form.Item>
        <Form.Item name="timeZone" label={t("traffic.timeZone")} extra={t("traffic.timeZoneHint")}>
          <Select showSearch options={[...zones].map((zone) => ({ value: zone, label: zone }))} />
        </Form.Item>
      </div>
      <Form.Item name="counted" label={t("traffic.counts")}>
        <Radio.Group className={styles.choices ?? ""}>
          {COUNTED.map((direction) => (
            <Radio key={direction} value={direction}>
              {t(`traffic.direction.${direction}`)}
              <small>{t(`traffic.directionHint.${direction}`)}</small>
            </Radio>
          ))}
        </Radio.Group>
      </Form.Item>
      <div className={styles.row}>
        <Form.Item
          name="allowance"
          label={t("traffic.allowance")}
          extra={t("traffic.allowanceHint")}
        >
          <InputNumber
            min={0}
            max={MAX_BYTES / UNITS[unit]}
            placeholder={t("traffic.noAllowance")}
          />
        </Form.Item>
        <Form.Item name="unit" label={t("traffic.unit")} className={styles.unit ?? ""}>
          <Select options={Object.keys(UNITS).map((name) => ({ value: name, label: name }))} />
        </Form.Item>
      </div>
      {put.error && <FailureNote error={put.error} />}
      <div className={styles.actions}>
        <Button htmlType="submit" type="primary" loading={put.isPending}>
          {t("action.save")}
        </Button>
      </div>
    </Form>
  );
}
