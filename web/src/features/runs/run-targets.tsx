import { Button, Select } from "antd";
import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import { Icon } from "@/components/ui/icons";
import { StatusDot } from "@/components/ui/status-dot";
import styles from "@/features/runs/run-form.module.css";
import { unavailableReason } from "@/features/server/unavailable-reason";

interface Props {
  fleet: readonly Vps[];
  targets: readonly Vps[];
  onChange: (ids: readonly string[]) => void;
}

// The chosen servers, with the reason for each one that cannot run a command.
export function RunTargets({ fleet, targets, onChange }: Props) {
  const { t } = useTranslation();
  const chosen = targets.map(({ id }) => id);
  const able = targets.filter((vps) => unavailableReason(vps, "commands") === null);
  return (
    <section className={styles.targets} aria-label={t("run.servers")}>
      <div className={styles.choose}>
        <Select
          mode="multiple"
          aria-label={t("run.choose")}
          placeholder={t("run.choose")}
          value={chosen}
          maxTagCount={0}
          maxTagPlaceholder={t("run.chosen", { count: targets.length })}
          showSearch={{ optionFilterProp: "label" }}
          options={fleet.map(({ id, name }) => ({ value: id, label: name }))}
          onChange={onChange}
        />
        {able.length < targets.length && (
          <Button onClick={() => onChange(able.map(({ id }) => id))}>{t("run.onlyAble")}</Button>
        )}
      </div>
      {targets.length > 0 && (
        <ul data-testid="run-targets">
          {targets.map((vps) => (
            <li key={vps.id}>
              <StatusDot status={vps.status} />
              <b>{vps.name}</b>
              <Availability vps={vps} />
              <button
                type="button"
                aria-label={t("run.remove", { name: vps.name })}
                onClick={() => onChange(chosen.filter((id) => id !== vps.id))}
              >
                <Icon name="close" size={12} />
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Availability({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const unavailable = unavailableReason(vps, "commands");
  if (unavailable === null) return <span>{t("run.can", { user: vps.powers?.user ?? "" })}</span>;
  return (
    <span className={styles.cannot}>
      <Icon name="lock" size={12} />
      {t(`run.unavailable.${unavailable}`)}
    </span>
  );
}
