import { Button, InputNumber } from "antd";
import { type KeyboardEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import {
  DEFAULT_TIMEOUT,
  MAX_SCRIPT_LENGTH,
  MAX_SERVERS,
  MAX_TIMEOUT,
  useStartRun,
} from "@/api/runs";
import type { Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { RunConfirm } from "@/features/runs/run-confirm";
import styles from "@/features/runs/run-form.module.css";
import { RunTargets } from "@/features/runs/run-targets";
import { unavailableReason } from "@/features/server/unavailable-reason";

interface Props {
  fleet: readonly Vps[];
  vpsIds: readonly string[];
  script: string;
  onStarted: (id: string) => void;
}

export function RunForm({ fleet, vpsIds, script: given, onStarted }: Props) {
  const { t } = useTranslation();
  const [chosen, setChosen] = useState<readonly string[]>(vpsIds);
  const [script, setScript] = useState(given);
  const [timeout, setTimeout] = useState(DEFAULT_TIMEOUT);
  const [asking, setAsking] = useState(false);
  const start = useStartRun();
  const targets = fleet.filter(({ id }) => chosen.includes(id));
  const able = targets.filter((vps) => unavailableReason(vps, "commands") === null);
  const problem =
    (targets.length === 0 && t("run.nothingChosen")) ||
    (able.length === 0 && t("run.noneCan")) ||
    (able.length > MAX_SERVERS && t("run.tooMany", { most: MAX_SERVERS })) ||
    (script.trim() === "" && t("run.noScript")) ||
    null;
  const ask = () => {
    if (problem === null) setAsking(true);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
  };
  const confirm = () => {
    setAsking(false);
    const body = { script, server_ids: able.map(({ id }) => id), timeout_seconds: timeout };
    start.mutate(body, { onSuccess: ({ id }) => onStarted(id) });
  };
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
    >
      <RunTargets fleet={fleet} targets={targets} onChange={setChosen} />
      <label className={styles.field}>
        <span>{t("run.script")}</span>
        <textarea
          className={styles.script}
          value={script}
          maxLength={MAX_SCRIPT_LENGTH}
          rows={8}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          placeholder={"uname -a\nuptime"}
          onChange={({ target }) => setScript(target.value)}
          onKeyDown={onKeyDown}
        />
        <small>{t("run.scriptHint")}</small>
      </label>
      <div className={styles.submit}>
        <label htmlFor="run-timeout">{t("run.timeout")}</label>
        <InputNumber
          id="run-timeout"
          min={1}
          max={MAX_TIMEOUT}
          precision={0}
          value={timeout}
          suffix="s"
          onChange={(value) => setTimeout(value ?? DEFAULT_TIMEOUT)}
        />
        <Button
          type="primary"
          htmlType="submit"
          disabled={problem !== null}
          loading={start.isPending}
        >
          {t("run.runOn", { count: able.length })}
        </Button>
      </div>
      {problem !== null && (
        <p className={styles.problem} role="status">
          {problem}
        </p>
      )}
      {start.error && <FailureNote error={start.error} />}
      {asking && (
        <RunConfirm
          servers={able}
          script={script}
          timeout={timeout}
          onConfirm={confirm}
          onCancel={() => setAsking(false)}
        />
      )}
    </form>
  );
}
