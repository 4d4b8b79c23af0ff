import { useQuery } from "@tanstack/react-query";
import { Input, Select } from "antd";
import { useId } from "react";
import { useTranslation } from "react-i18next";
import { fleetQuery } from "@/api/vps";
import styles from "@/features/audit/audit.module.css";
import {
  type FilterName,
  KINDS,
  type Kind,
  RANGES,
  type Range,
  RESULTS,
  type ShownFilters,
} from "@/features/audit/use-audit-filters";

const CUSTOM = "custom";

interface Props {
  shown: ShownFilters;
  onChange: (changes: Partial<ShownFilters>) => void;
}

export function AuditFilterBar({ shown, onChange }: Props) {
  const { t } = useTranslation();
  const { data: fleet = [] } = useQuery(fleetQuery());
  const field = (name: FilterName) => ({
    "aria-label": t(`audit.filter.${name as "text"}`),
    value: shown[name],
  });
  const isCustom = shown.since !== "" || shown.until !== "";
  const servers = fleet.map(({ id, name }) => ({ value: `vps:${id}`, label: name }));
  const known = shown.object === "" || servers.some(({ value }) => value === shown.object);
  return (
    <search className={styles.filters} aria-label={t("audit.filter.name")}>
      <Input
        {...field("text")}
        className={styles.text ?? ""}
        allowClear
        maxLength={200}
        placeholder={t("audit.filter.text")}
        onChange={({ target }) => onChange({ text: target.value })}
      />
      <Input
        {...field("actor")}
        allowClear
        maxLength={200}
        placeholder={t("audit.filter.actor")}
        onChange={({ target }) => onChange({ actor: target.value.trim() })}
      />
      <Select
        {...field("object")}
        showSearch={{ optionFilterProp: "label" }}
        options={[
          { value: "", label: t("audit.filter.anyObject") },
          ...(known ? [] : [{ value: shown.object, label: shown.object }]),
          ...servers,
        ]}
        onChange={(object) => onChange({ object })}
      />
      <Select
        {...field("kind")}
        options={[
          { value: "", label: t("audit.filter.anyKind") },
          ...(Object.keys(KINDS) as Kind[]).map((kind) => ({
            value: kind,
            label: t(`audit.kind.${kind}`),
          })),
        ]}
        onChange={(kind) => onChange({ kind })}
      />
      <Select
        {...field("result")}
        options={[
          { value: "", label: t("audit.filter.anyResult") },
          ...RESULTS.map((result) => ({ value: result, label: t(`audit.outcome.${result}`) })),
        ]}
        onChange={(result) => onChange({ result })}
      />
      <Select
        aria-label={t("audit.filter.range")}
        value={isCustom ? CUSTOM : shown.range}
        options={[
          { value: "", label: t("audit.filter.anyTime") },
          ...(Object.keys(RANGES) as Range[]).map((range) => ({
            value: range,
            label: t(`audit.range.${range}`),
          })),
          { value: CUSTOM, label: t("audit.filter.custom") },
        ]}
        onChange={(range) =>
          onChange(
            range === CUSTOM
              ? { range: "", since: `${localTime(new Date()).slice(0, 10)}T00:00` }
              : { range, since: "", until: "" },
          )
        }
      />
      {isCustom && (
        <>
          <Moment name="since" value={shown.since} onChange={(since) => onChange({ since })} />
          <Moment name="until" value={shown.until} onChange={(until) => onChange({ until })} />
        </>
      )}
    </search>
  );
}

interface MomentProps {
  name: "since" | "until";
  value: string;
  onChange: (value: string) => void;
}

// A local time to the minute, which the browser asks for in the reader's own format.
function Moment({ name, value, onChange }: MomentProps) {
  const { t } = useTranslation();
  const id = useId();
  return (
    <label className={styles.moment} htmlFor={id}>
      {t(`audit.filter.${name}`)}
      <input
        id={id}
        type="datetime-local"
        value={value}
        onChange={({ target }) => onChange(target.value)}
      />
    </label>
  );
}

function localTime(time: Date): string {
  const shifted = new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}
