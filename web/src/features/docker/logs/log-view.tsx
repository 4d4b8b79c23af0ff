import { Button } from "antd";
import { useCallback, useDeferredValue, useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/docker/logs/log.module.css";
import { asText, found } from "@/features/docker/logs/log-buffer";
import { LogLines } from "@/features/docker/logs/log-lines";
import { type LogLook, LogTools } from "@/features/docker/logs/log-tools";
import { type Since, useLogFeed } from "@/features/docker/logs/use-log-feed";
import { saveTextFile } from "@/lib/download";
import { useFormat } from "@/lib/use-format";

interface Props {
  server: string;
  cid: string;
  name: string;
}

const START: LogLook = { times: true, wrap: true, term: "", onlyMatches: false };

export function LogView({ server, cid, name }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const [since, setSince] = useState<Since>("tail");
  const [look, setLook] = useState(START);
  const [at, setAt] = useState(0); // index of the current match
  const [view, feed] = useLogFeed(server, cid, since);
  const { log, state, error, paused, held } = view;
  const term = useDeferredValue(look.term);
  const { shown, matches } = useMemo(
    () => found(log.lines, { term, onlyMatches: look.onlyMatches }),
    [log.lines, term, look.onlyMatches],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new search starts at its newest match and pauses the log if there is one
  useEffect(() => {
    setAt(Number.POSITIVE_INFINITY);
    if (matches.length > 0 && !look.onlyMatches) feed.pause();
  }, [term, look.onlyMatches]);
  const current = Math.min(at, matches.length - 1);
  const step = (by: number) => {
    if (matches.length === 0) return;
    feed.pause();
    setAt((current + by + matches.length) % matches.length);
  };
  const onScrollUp = useCallback(() => feed.pause(), [feed]);
  const onBottom = useCallback(() => feed.resume(), [feed]);

  return (
    <section className={styles.view} aria-label={t("docker.logs")}>
      <LogTools
        look={look}
        onLook={setLook}
        since={since}
        onSince={setSince}
        paused={paused}
        onPause={(pause) => (pause ? feed.pause() : feed.resume())}
        matches={matches.length}
        current={current}
        onStep={step}
        onSave={() => saveTextFile(`${name}.log`, asText(shown))}
      />
      {state === "failed" && <FailureNote error={error} onRetry={() => void feed.start()} />}
      <LogLines
        lines={shown}
        term={term}
        times={look.times}
        wrap={look.wrap}
        // During a search, the view stays at the current match.
        target={term !== "" && matches.length > 0 ? matches[current] : undefined}
        following={!paused}
        onScrollUp={onScrollUp}
        onBottom={onBottom}
      />
      <footer className={styles.foot} role="status">
        <span data-testid="log-state" data-state={paused ? "paused" : state}>
          {paused ? t("logs.paused", { n: held }) : t(`logs.${state}`)}
        </span>
        {state === "ended" && (
          <Button size="small" type="link" onClick={() => void feed.start()}>
            {t("logs.again")}
          </Button>
        )}
        <span>{t("logs.lines", { n: format.count(shown.length) })}</span>
        {log.dropped > 0 && <span>{t("logs.dropped", { n: format.count(log.dropped) })}</span>}
      </footer>
    </section>
  );
}
