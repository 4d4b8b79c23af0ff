import { Checkbox, Input, Segmented } from "antd";
import { type ReactNode, useId } from "react";
import { useTranslation } from "react-i18next";
import type { RequestedPermissions } from "@/api/vps";
import styles from "@/features/enrolment/permission-fields.module.css";
import { allowsAnything } from "@/features/enrolment/requested-permissions";

interface Props {
  value: RequestedPermissions;
  onChange: (value: RequestedPermissions) => void;
}

// The permissions to write into the install line. The install line saves them in the policy file on
// the server.
export function PermissionFields({ value, onChange }: Props) {
  const { t } = useTranslation();
  const set = (change: Partial<RequestedPermissions>) => onChange({ ...value, ...change });
  return (
    <fieldset className={styles.permissions}>
      <legend>{t("permission.title")}</legend>
      <p>{t("permission.text")}</p>
      <Permission
        label={t("permission.shell")}
        hint={t("permission.shellHint")}
        checked={value.shell}
        onChange={(shell) => set({ shell })}
      />
      <Permission
        label={t("permission.commands")}
        hint={t("permission.commandsHint")}
        checked={value.commands}
        onChange={(commands) => set({ commands })}
      />
      <Permission
        label={t("permission.files")}
        hint={t("permission.filesHint")}
        checked={value.files !== "off"}
        onChange={(on) => set({ files: on ? "read" : "off" })}
      >
        <Segmented
          aria-label={t("permission.files")}
          value={value.files === "write" ? ("write" as const) : ("read" as const)}
          onChange={(files) => set({ files })}
          options={[
            { value: "read" as const, label: t("permission.filesRead") },
            { value: "write" as const, label: t("permission.filesWrite") },
          ]}
        />
        <Roots value={value.file_roots} onChange={(file_roots) => set({ file_roots })} />
      </Permission>
      <Permission
        label={t("permission.docker")}
        hint={t("permission.dockerHint")}
        checked={value.docker !== "off"}
        onChange={(on) => set({ docker: on ? "read" : "off" })}
      >
        <Segmented
          aria-label={t("permission.docker")}
          value={value.docker === "actions" ? ("actions" as const) : ("read" as const)}
          onChange={(docker) => set({ docker })}
          options={[
            { value: "read" as const, label: t("permission.dockerRead") },
            { value: "actions" as const, label: t("permission.dockerActions") },
          ]}
        />
      </Permission>
      {allowsAnything(value) && <RunAs value={value} onChange={set} />}
    </fieldset>
  );
}

interface PermissionProps {
  label: string;
  hint: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  children?: ReactNode;
}

function Permission({ label, hint, checked, onChange, children }: PermissionProps) {
  const hintId = useId();
  return (
    <div className={styles.permission}>
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
      <label htmlFor={id}>{t("permission.roots")}</label>
      <Input.TextArea
        id={id}
        autoSize={{ minRows: 1, maxRows: 6 }}
        spellCheck={false}
        value={value.join("\n")}
        onChange={({ target }) => onChange(target.value.split("\n"))}
      />
      <p>{t("permission.rootsHint")}</p>
    </div>
  );
}

interface RunAsProps {
  value: RequestedPermissions;
  onChange: (change: Partial<RequestedPermissions>) => void;
}

function RunAs({ value, onChange }: RunAsProps) {
  const { t } = useTranslation();
  return (
    <div className={`${styles.permission} ${styles.who}`}>
      <b>{t("permission.runAs")}</b>
      <div className={styles.more}>
        <Segmented
          aria-label={t("permission.runAs")}
          value={value.run_as}
          onChange={(run_as) => onChange({ run_as })}
          options={[
            { value: "agent" as const, label: t("permission.agent") },
            { value: "root" as const, label: t("permission.root") },
          ]}
        />
      </div>
      <p>{t(value.run_as === "root" ? "permission.rootHint" : "permission.agentHint")}</p>
    </div>
  );
}
