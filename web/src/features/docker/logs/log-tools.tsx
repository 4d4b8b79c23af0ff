import { Button, Checkbox, Input, Select } from "antd";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/docker/logs/log.module.css";
import { SINCE, type Since } from "@/features/docker/logs/use-log-feed";

export interface LogLook {
  times: boolean;
  wrap: boolean;
  term: string;
  onlyMatches: boolean;
}

interface Props {
  look: LogLook;
  onLook: (look: LogLook) => void;
  since: Since;
  onSince: (since: Since) => void;
  paused: boolean;
  onPause: (pause: boolean) => void;
  matches: number;
  current: number;
  onStep: (by: number) => void;
  onSave: () => void;
}

const NAMES = Object.keys(SINCE) as Since[];

export function LogTools(props: Props) {
  const { look, onLook, since, onSince, paused, onPause, matches, current, onStep, onSave } = props;
  const { t } = useTranslation();
  return (
    <div className={styles.tools}>
      <Button
        icon={<Icon name={paused ? "play" : "pause"} size={14} />}
        onClick={() => onPause(!paused)}
      >
        {paused ? t("logs.follow") : t("logs.pause")}
      </Button>
      <Select<Since>
        aria-label={t("logs.since")}
        value={since}
        onChange={onSince}
        options={NAMES.map((name) => ({ value: name, label: t(`logs.sinceOf.${name}`) }))}
        popupMatchSelectWidth={false}
      />
      <div className={styles.search}>
        <Input
          allowClear
          prefix={<Icon name="search" size={14} />}
          placeholder={t("logs.search")}
          aria-label={t("logs.search")}
          value={look.term}
          onChange={(event) => onLook({ ...look, term: event.target.value })}
          onPressEnter={({ shiftKey }) => onStep(shiftKey ? 1 : -1)}
        />
        {look.term !== "" && (
          <span role="status" data-testid="log-matches">
            {matches === 0 ? t("logs.noMatch") : t("logs.match", { at: current + 1, of: matches })}
          </span>
        )}
      </div>
      {look.term !== "" && (
        <>
          <Button
            disabled={matches === 0}
            icon={<Icon name="up" size={14} />}
            aria-label={t("logs.before")}
            onClick={() => onStep(-1)}
          />
          <Button
            disabled={matches === 0}
            icon={<Icon name="up" size={14} style={{ transform: "rotate(180deg)" }} />}
            aria-label={t("logs.after")}
            onClick={() => onStep(1)}
          />
          <Checkbox
            checked={look.onlyMatches}
            onChange={({ target }) => onLook({ ...look, onlyMatches: target.checked })}
          >
            {t("logs.onlyMatches")}
          </Checkbox>
        </>
      )}
      <span className={styles.toggles}>
        <Checkbox
          checked={look.times}
          onChange={({ target }) => onLook({ ...look, times: target.checked })}
        >
          {t("logs.times")}
        </Checkbox>
        <Checkbox
          checked={look.wrap}
          onChange={({ target }) => onLook({ ...look, wrap: target.checked })}
        >
          {t("action.wrapLines")}
        </Checkbox>
        <Button icon={<Icon name="download" size={14} />} onClick={onSave}>
          {t("logs.save")}
        </Button>
      </span>
    </div>
  );
}
