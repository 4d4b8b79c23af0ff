import { Button } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import { copyText } from "@/lib/clipboard";

const SHOWN = 2_000; // ms

export function CopyButton({ label, text }: { label: string; text: () => string }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), SHOWN);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <Button
      size="small"
      type="text"
      aria-label={label}
      icon={<Icon name={copied ? "check" : "copy"} size={14} />}
      onClick={() => void copyText(text()).then(setCopied)}
    >
      <span aria-live="polite">{copied ? t("action.copied") : t("action.copy")}</span>
    </Button>
  );
}
