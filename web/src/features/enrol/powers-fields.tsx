import { Checkbox, Input, Segmented } from "antd";
import { type ReactNode, useId } from "react";
import { useTranslation } from "react-i18next";
import type { WantedPowers } from "@/api/vps";
import styles from "@/features/enrol/powers-fields.module.css";
import { anyPower } from "@/features/enrol/wanted-powers";

interface Props {
  value: WantedPowers;
  onChange: (value: WantedPowers) => void;
}

// What the host shall allow this console. It shapes the install line alone: the host writes it into
// a file of its own.
export function PowersFields({ value, onChange }: Props) {
  const { t } = useTranslation();
  const set = (change: Partial<WantedPowers>) => onChange({ ...value, ...change });
  return (
    <fieldset className={styles.powers}>
      <legend>{t("wanted.title")}</legend>
      <p>{t("wanted.text")}</p>
      <Power
        label={t("wanted.shell")}
        hint={t("wanted.shellHint")}
        checked={value.shell}
        onChange={(shell) => set({ shell })}
      />
      <Power
        label={t("wanted.commands")}
        hint={t("wanted.commandsHint")}
        checked={value.commands}
        onChange={(commands) => set({ commands })}
      />
      <Power
        label={t("wanted.files")}
        hint={t("wanted.filesHint")}
        checked={value.files !== "off"}
        onChange={(on) => set({ files: on ? "read" : "off" })}
      >
        <Segmented
          aria-label={t("wanted.files")}
          value={value.files === "write" ? ("write" as const) : ("read" as const)}
          onChange={(files) => set({ files })}
          options={[
            { value: "read" as const, label: t("wanted.filesRead") },
            { value: "write" as const, label: t("wanted.filesWrite") },
          ]}
        />
        <Roots value={value.file_roots} onChange={(file_roots) => set({ file_roots })} />
      </Power>
      <Power
        label={t("wanted.docker")}
        hint={t("wanted.dockerHint")}
        checked={value.docker !== "off"}
        onChange={(on) => set({ docker: on ? "read" : "off" })}
      >
        <Segmented
          aria-label={t("wanted.docker")}
          value={value.docker === "actions" ? ("actions" as const) : ("read" as const)}
          onChange={(docker) => set({ docker })}
          options={[
            { value: "read" as const, label: t("wanted.dockerRead") },
            { value: "actions" as const, label: t("wanted.dockerActions") },
          ]}
        />
      </Power>
      {anyPower(value) && <RunAs value={value} onChange={set} />}
    </fieldset>
  );
}

interface PowerProps {
  label: string;
  hint: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  children?: ReactNode;
}

function Power({ label, hint, checked, onChange, children }: PowerProps) {
  const hintId = useId();
  return (
    <div className={styles.power}>
      <Checkbox
        checked={checked}
        aria-describedby={hintId}
        onChange={({ target }) => onChange(target.checked)}
      >
        {label}
      </Checkbox>
      <p id={hintId}>{hint}</p>
      {checked && children && <div className={styles.more}>{children}</div>}
    </div>
  );
}

function Roots({ value, onChange }: { value: string[]; onChange: (roots: string[]) => void }) {
  const { t } = useTranslation();
  const id = useId();
  return (
    <div className={styles.roots}>
      <label htmlFor={id}>{t("wanted.roots")}</label>
      <Input.TextArea
        id={id}
        autoSize={{ minRows: 1, maxRows: 6 }}
        spellCheck={false}
        value={value.join("\n")}
        onChange={({ target }) => onChange(target.value.split("\n"))}
      />
      <p>{t("wanted.rootsHint")}</p>
    </div>
  );
}

interface RunAsProps {
  value: WantedPowers;
  onChange: (change: Partial<WantedPowers>) => void;
}

function RunAs({ value, onChange }: RunAsProps) {
  const { t } = useTranslation();
  return (
    <div className={`${styles.power} ${styles.who}`}>
      <b>{t("wanted.runAs")}</b>
      <div className={styles.more}>
        <Segmented
          aria-label={t("wanted.runAs")}
          value={value.run_as}
          onChange={(run_as) => onChange({ run_as })}
          options={[
            { value: "agent" as const, label: t("wanted.agent") },
            { value: "root" as const, label: t("wanted.root") },
          ]}
        />
      </div>
      <p>{t(value.run_as === "root" ? "wanted.rootHint" : "wanted.agentHint")}</p>
    </div>
  );
}
