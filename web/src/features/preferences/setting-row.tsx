import { Segmented } from "antd";
import type { ReactNode } from "react";
import styles from "@/features/preferences/setting-row.module.css";

// The name of a setting, what it applies to, and its control.
export function SettingRow(props: { name: string; hint?: ReactNode; children: ReactNode }) {
  const { name, hint, children } = props;
  return (
    <div className={styles.row}>
      <span>
        {name}
        {hint && <small>{hint}</small>}
      </span>
      {children}
    </div>
  );
}

interface ChoiceProps<Value extends string> {
  name: string;
  hint?: ReactNode;
  value: Value;
  options: readonly { value: Value; label: string }[];
  onChange: (value: Value) => void;
}

// A setting with few values.
export function ChoiceRow<Value extends string>(props: ChoiceProps<Value>) {
  const { name, hint, value, options, onChange } = props;
  return (
    <SettingRow name={name} hint={hint}>
      <Segmented<Value>
        aria-label={name}
        value={value}
        onChange={onChange}
        options={[...options]}
      />
    </SettingRow>
  );
}
