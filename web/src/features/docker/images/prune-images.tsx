import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import type { Image, usePruneImages } from "@/api/docker";
import type { Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { unneeded } from "@/features/docker/images/image-list";
import { useFormat } from "@/lib/use-format";

interface Props {
  vps: Vps;
  images: readonly Image[];
  prune: ReturnType<typeof usePruneImages>;
  onClose: () => void;
}

export function PruneImages({ vps, images, prune, onClose }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const removable = unneeded(images);
  const bytes = removable.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  const close = () => {
    prune.reset();
    onClose();
  };
  return (
    <Modal
      open
      title={t("images.pruneAsk", { server: vps.name })}
      okText={prune.data ? t("action.close") : t("images.prune")}
      okButtonProps={{ danger: !prune.data }}
      cancelText={t("action.cancel")}
      cancelButtonProps={prune.data ? { style: { display: "none" } } : {}}
      confirmLoading={prune.isPending}
      onOk={() => (prune.data ? close() : prune.mutate())}
      onCancel={close}
    >
      {prune.data ? (
        <p role="status">
          {t("images.pruned", {
            count: prune.data.images,
            size: format.size(prune.data.reclaimed_bytes),
          })}
        </p>
      ) : (
        <>
          <p>{t("images.pruneText")}</p>
          <p>
            {removable.length > 0
              ? t("images.pruneWill", { count: removable.length, size: format.size(bytes) })
              : t("images.pruneNothing")}
          </p>
        </>
      )}
      {prune.error && <FailureNote error={prune.error} />}
    </Modal>
  );
}
