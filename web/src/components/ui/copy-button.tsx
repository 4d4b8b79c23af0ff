import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import { useCopied } from "@/components/ui/use-copied";

interface Props {
  label: string;
  // Called when the button is pressed, so that a long text is not built with every change.
  text: () => string;
  // Shows "Copy" beside the icon.
  wide?: boolean;
}

export function CopyButton({ label, text, wide = false }: Props) {
  const { t } = useTranslation();
  const [copied, copy] = useCopied();
  return (
    <Button
      type="text"
      size="small"
      title={wide ? undefined : label}
      aria-label={copied && !wide ? t("action.copied") : label}
      icon={<Icon name={copied ? "check" : "copy"} size={14} />}
      onClick={() => copy(text())}
    >
      {wide && <span aria-live="polite">{copied ? t("action.copied") : t("action.copy")}</span>}
    </Button>
  );
}
