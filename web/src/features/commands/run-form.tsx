import { Button, InputNumber } from "antd";
import { type KeyboardEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { DEFAULT_TIMEOUT, LONGEST_SCRIPT, LONGEST_TIMEOUT, MOST_SERVERS } from "@/api/commands";
import type { Vps } from "@/api/vps";
import { RunConfirm } from "@/features/commands/run-confirm";
import styles from "@/features/commands/run-form.module.css";
import { startRun } from "@/features/commands/run-store";
import { RunTargets } from "@/features/commands/run-targets";
import { hindranceOf } from "@/lib/hindrance";

interface Props {
  fleet: readonly Vps[];
  vpsIds: readonly string[];
  script: string;
  onStarted: () => void;
}

export function RunForm({ fleet, vpsIds, script: given, onStarted }: Props) {
  const { t } = useTranslation();
  const [chosen, setChosen] = useState<readonly string[]>(vpsIds);
  const [script, setScript] = useState(given);
  const [timeout, setTimeout] = useState(DEFAULT_TIMEOUT);
  const [asking, setAsking] = useState(false);
  const targets = fleet.filter(({ id }) => chosen.includes(id));
  const able = targets.filter((vps) => hindranceOf(vps, "commands") === null);
  const problem =
    (targets.length === 0 && t("run.nothingChosen")) ||
    (able.length === 0 && t("run.noneCan")) ||
    (able.length > MOST_SERVERS && t("run.tooMany", { most: MOST_SERVERS })) ||
    (script.trim() === "" && t("run.noScript")) ||
    null;
  const ask = () => {
    if (problem === null) setAsking(true);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
  };
  const start = () => {
    setAsking(false);
    onStarted();
    void startRun({ script, timeout, servers: able });
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
          maxLength={LONGEST_SCRIPT}
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
          max={LONGEST_TIMEOUT}
          precision={0}
          value={timeout}
          suffix="s"
          onChange={(value) => setTimeout(value ?? DEFAULT_TIMEOUT)}
        />
        <Button type="primary" htmlType="submit" disabled={problem !== null}>
          {t("run.runOn", { count: able.length })}
        </Button>
      </div>
      {problem !== null && (
        <p className={styles.problem} role="status">
          {problem}
        </p>
      )}
      {asking && (
        <RunConfirm
          servers={able}
          script={script}
          timeout={timeout}
          onConfirm={start}
          onCancel={() => setAsking(false)}
        />
      )}
    </form>
  );
}
