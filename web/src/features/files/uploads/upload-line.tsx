import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Icon, type IconName } from "@/components/ui/icons";
import styles from "@/features/files/uploads/upload.module.css";
import { rateOf, secondsLeft, type Upload } from "@/features/files/uploads/upload-queue";
import { NotAFileError } from "@/features/files/uploads/upload-transport";
import { uploader } from "@/features/files/uploads/uploads";
import { useNow } from "@/lib/clock";
import { describeFailure } from "@/lib/described-error";
import { escapeInvisible } from "@/lib/escape-invisible";
import { coarseDuration } from "@/lib/format/durations";
import { useFormat } from "@/lib/use-format";

const TICK = 1_000; // ms

export function UploadLine({ upload }: { upload: Upload }) {
  const { t } = useTranslation();
  const { id, name, folder, size, sent, phase } = upload;
  const share = size === 0 ? Number(phase === "done") : sent / size;
  const button = (icon: IconName, label: string, onClick: () => void) => (
    <Button
      size="small"
      type="text"
      icon={<Icon name={icon} size={14} />}
      aria-label={`${label} ${escapeInvisible(name)}`}
      title={label}
      onClick={onClick}
    />
  );
  return (
    <li data-testid="upload" data-phase={phase} data-name={name}>
      <span className={styles.name} title={escapeInvisible(folder)}>
        {escapeInvisible(name)}
      </span>
      <u
        role="progressbar"
        aria-label={escapeInvisible(name)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
      >
        <s style={{ transform: `scaleX(${share})` }} />
      </u>
      <span className={styles.buttons}>
        {phase === "asking" && (
          <>
            <Button size="small" danger onClick={() => uploader.replace(id)}>
              {t("files.replace")}
            </Button>
            <Button size="small" onClick={() => uploader.cancel(id)}>
              {t("upload.skip")}
            </Button>
          </>
        )}
        {(phase === "sending" || phase === "waiting" || phase === "retrying") &&
          button("pause", t("upload.pause"), () => uploader.pause(id))}
        {phase === "paused" && button("play", t("upload.resume"), () => uploader.resume(id))}
        {phase === "failed" && button("restart", t("action.retry"), () => uploader.resume(id))}
        {phase !== "done" &&
          phase !== "asking" &&
          button("close", t("action.cancel"), () => uploader.cancel(id))}
      </span>
      <small className={phase === "failed" ? styles.bad : undefined} role="status">
        <UploadStatus upload={upload} />
      </small>
    </li>
  );
}

function UploadStatus({ upload }: { upload: Upload }) {
  const { t } = useTranslation();
  const format = useFormat();
  const now = useNow(TICK);
  const { phase, sent, size, error, retryAt, name } = upload;
  const amount = t("upload.amount", { sent: format.size(sent), size: format.size(size) });
  switch (phase) {
    case "sending": {
      const rate = rateOf(upload);
      const left = secondsLeft(upload);
      if (rate === null || left === null) return amount;
      const duration = coarseDuration(Math.ceil(left));
      const time = t(`time.${duration.unit}`, { n: duration.count });
      return t("upload.moving", { amount, rate: format.diskRate(rate), time });
    }
    case "retrying": {
      const seconds = Math.max(0, Math.ceil(((retryAt ?? now) - now) / 1000));
      return t("upload.retrying", { amount, why: describeFailure(error, t).what, seconds });
    }
    case "failed": {
      if (error instanceof NotAFileError) return t("upload.notAFile");
      const { what, why } = describeFailure(error, t);
      return escapeInvisible(why ? `${what}: ${why}` : what);
    }
    case "asking":
      return t("upload.exists", { name: escapeInvisible(name) });
    case "paused":
      return t("upload.paused", { amount });
    case "done":
      return t("upload.done", { size: format.size(size) });
    case "finishing":
      return t("upload.finishing");
    default:
      return t("upload.waiting");
  }
}
