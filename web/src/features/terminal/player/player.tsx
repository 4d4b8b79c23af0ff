import { useQuery } from "@tanstack/react-query";
import { Modal } from "antd";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { recordingQuery, type ShellSession } from "@/api/shell";
import { FailureNote } from "@/components/ui/failure-note";
import { type Cast, parseCast } from "@/features/terminal/player/cast";
import { CastPlayer, type Playing } from "@/features/terminal/player/cast-player";
import styles from "@/features/terminal/player/player.module.css";
import { PlayerControls } from "@/features/terminal/player/player-controls";
import { PlayerScreen } from "@/features/terminal/player/player-screen";
import { useDark } from "@/lib/theme";
import { useFormat } from "@/lib/use-format";

interface Props {
  session: ShellSession;
  onClose: () => void;
}

export function Player({ session, onClose }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const { data, error, refetch } = useQuery(recordingQuery(session.id));
  const read = useMemo(() => (data === undefined ? null : attempt(data)), [data]);
  const failure = error ?? (read instanceof Error ? read : null);
  return (
    <Modal
      open
      width="min(1100px, 100vw - 24px)"
      footer={null}
      title={t("recording.title", {
        name: session.username,
        time: format.dateTime(session.started_at),
      })}
      onCancel={onClose}
    >
      {failure && <FailureNote error={failure} onRetry={() => void refetch()} />}
      {!failure && !read && <p role="status">{t("loading")}</p>}
      {read && !(read instanceof Error) && <Playback cast={read} />}
    </Modal>
  );
}

function attempt(text: string): Cast | Error {
  try {
    return parseCast(text);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function Playback({ cast }: { cast: Cast }) {
  const { t } = useTranslation();
  const host = useRef<HTMLDivElement>(null);
  const dark = useDark();
  const [player, setPlayer] = useState<CastPlayer | null>(null);
  const [state, setState] = useState<Playing>({ playing: false, speed: 1 });

  useEffect(() => {
    if (!host.current) return undefined;
    const screen = new PlayerScreen(host.current, dark);
    const made = new CastPlayer(cast, screen, setState);
    setPlayer(made);
    made.play();
    return () => {
      made.close();
      screen.dispose();
    };
  }, [cast, dark]);

  return (
    <section className={styles.player} aria-label={t("recording.playback")}>
      <div ref={host} className={styles.stage} data-testid="playback" />
      {player && <PlayerControls player={player} state={state} duration={cast.duration} />}
    </section>
  );
}
