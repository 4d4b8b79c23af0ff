import { Button, Segmented } from "antd";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import { type CastPlayer, type Playing, SPEEDS } from "@/features/terminal/player/cast-player";
import styles from "@/features/terminal/player/player.module.css";
import { formatCountdown } from "@/lib/format/durations";

interface Props {
  player: CastPlayer;
  state: Playing;
  duration: number;
}

const STEP = 5; // seconds
const REFRESH_INTERVAL = 100; // ms

function usePosition(player: CastPlayer, playing: boolean): number {
  const [position, setPosition] = useState(0);
  useEffect(() => {
    setPosition(player.position);
    if (!playing) return undefined;
    const timer = setInterval(() => setPosition(player.position), REFRESH_INTERVAL);
    return () => clearInterval(timer);
  }, [player, playing]);
  return Math.max(position, playing ? 0 : player.position);
}

export function PlayerControls({ player, state, duration }: Props) {
  const { t } = useTranslation();
  const position = usePosition(player, state.playing);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);

  const toggle = () => (state.playing ? player.pause() : player.play());
  const faster = (step: number) => {
    const at = SPEEDS.indexOf(state.speed) + step;
    player.setSpeed(SPEEDS[at] ?? state.speed);
  };
  const act = (key: string): boolean => {
    if (key === " " || key === "k") toggle();
    else if (key === "ArrowLeft") player.seek(player.position - STEP);
    else if (key === "ArrowRight") player.seek(player.position + STEP);
    else if (key === "Home") player.seek(0);
    else if (key === "End") player.seek(duration);
    else if (key === ">") faster(1);
    else if (key === "<") faster(-1);
    else return false;
    return true;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // Buttons handle Space, and the speed control handles the arrow keys.
    const own = event.target instanceof HTMLElement && event.target.closest("[role=radiogroup]");
    const pressed = event.key === " " && event.target instanceof HTMLButtonElement;
    if (!own && !pressed && act(event.key)) event.preventDefault();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: handles the keys of all its controls
    <div className={styles.controls} onKeyDown={onKeyDown}>
      <Button
        ref={button}
        type="text"
        aria-label={t(state.playing ? "recording.pause" : "recording.play")}
        icon={<Icon name={state.playing ? "pause" : "play"} size={18} />}
        onClick={toggle}
      />
      <time>{formatCountdown(Math.floor(position))}</time>
      <input
        type="range"
        aria-label={t("recording.position")}
        aria-valuetext={t("recording.positionOf", {
          at: formatCountdown(Math.floor(position)),
          total: formatCountdown(duration),
        })}
        min={0}
        max={duration}
        step="any"
        value={position}
        onChange={({ target }) => player.seek(Number(target.value))}
      />
      <time>{formatCountdown(duration)}</time>
      <Segmented
        size="small"
        aria-label={t("recording.speed")}
        value={state.speed}
        onChange={(speed) => player.setSpeed(speed)}
        options={SPEEDS.map((value) => ({ value, label: `${value}×` }))}
      />
      <small>{t("recording.keys")}</small>
    </div>
  );
}
