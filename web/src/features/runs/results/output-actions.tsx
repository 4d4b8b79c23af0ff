import { useMutation } from "@tanstack/react-query";
import { App, Button } from "antd";
import { useTranslation } from "react-i18next";
import { readRunOutput } from "@/api/runs";
import { CopyButton } from "@/components/ui/copy-button";
import { Icon } from "@/components/ui/icons";
import { plainOutput } from "@/features/runs/results/plain-output";
import type { Target } from "@/features/runs/results/target";
import { describeFailure } from "@/lib/described-error";
import { saveTextFile } from "@/lib/download";

interface Props {
  runId: string;
  target: Target;
  name: string;
}

// Copy what is shown, or download all that is kept.
export function OutputActions({ runId, target: { vpsId, output }, name }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const download = useMutation({
    mutationFn: () => readRunOutput(runId, vpsId),
    onSuccess: (text) => saveTextFile(`${name}-${runId.slice(0, 8)}.log`, text),
    onError: (error) => void message.error(describeFailure(error, t).what),
  });
  return (
    <>
      <CopyButton
        label={t("run.copyOf", { name })}
        wide
        text={() => plainOutput(output.map(({ text }) => text).join(""))}
      />
      <Button
        type="text"
        size="small"
        icon={<Icon name="download" size={14} />}
        aria-label={t("run.downloadOf", { name })}
        loading={download.isPending}
        onClick={() => download.mutate()}
      >
        {t("run.download")}
      </Button>
    </>
  );
}
