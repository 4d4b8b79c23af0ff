import { useQueryClient } from "@tanstack/react-query";
import { Button, Input, Modal } from "antd";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { dockerKeys, pullImage } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/docker/images/pull-image.module.css";
import { cutOff, EMPTY_PULL, type Pull, progressed } from "@/features/docker/images/pull-progress";
import { escapeInvisible } from "@/lib/escape-invisible";

export function PullImage({ vps, onClose }: { vps: Vps; onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [reference, setReference] = useState("");
  const [pull, setPull] = useState<Pull | null>(null);
  const [error, setError] = useState<unknown>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const start = async (event: FormEvent) => {
    event.preventDefault();
    const controller = new AbortController();
    abort.current = controller;
    setError(null);
    setPull(EMPTY_PULL);
    try {
      for await (const part of pullImage(vps.id, reference.trim(), controller.signal)) {
        setPull((before) => progressed(before ?? EMPTY_PULL, part));
      }
      setPull((before) => before && cutOff(before, t("images.connectionLost")));
    } catch (cause) {
      if (controller.signal.aborted) return;
      setPull(null);
      setError(cause);
    } finally {
      void client.invalidateQueries({ queryKey: dockerKeys.images(vps.id) });
    }
  };

  const running = pull !== null && pull.end === null;
  return (
    <Modal
      open
      title={t("images.pullTitle", { server: vps.name })}
      footer={null}
      onCancel={onClose}
      mask={{ closable: !running }}
    >
      <form className={styles.form} onSubmit={(event) => void start(event)}>
        <label htmlFor="reference">{t("images.reference")}</label>
        <div>
          <Input
            id="reference"
            autoFocus
            autoComplete="off"
            spellCheck={false}
            placeholder="docker.io/library/nginx:1.29"
            value={reference}
            disabled={running}
            onChange={(event) => setReference(event.target.value)}
          />
          <Button
            type="primary"
            htmlType="submit"
            loading={running}
            disabled={reference.trim() === ""}
          >
            {t("images.pull")}
          </Button>
        </div>
        <p>{t("images.pullHint")}</p>
      </form>
      {error !== null && <FailureNote error={error} />}
      {pull && <Progress pull={pull} />}
    </Modal>
  );
}

function Progress({ pull }: { pull: Pull }) {
  const { t } = useTranslation();
  const { layers, status, end } = pull;
  return (
    <div className={styles.progress} data-testid="pull">
      <ul>
        {layers.map((layer) => (
          <li key={layer.id}>
            <code>{escapeInvisible(layer.id)}</code>
            <span>{escapeInvisible(layer.status)}</span>
            <u>
              <s style={{ transform: `scaleX(${layer.share ?? 0})` }} />
            </u>
          </li>
        ))}
      </ul>
      <p role="status" className={end && !end.done ? styles.bad : undefined}>
        {end
          ? end.done
            ? t("images.pulled")
            : t("images.pullFailed", { reason: escapeInvisible(end.reason) })
          : escapeInvisible(status) || t("images.pulling")}
      </p>
    </div>
  );
}
