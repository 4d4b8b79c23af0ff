import { Button } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "@/components/ui/icons";
import { copyText } from "@/lib/clipboard";

const SHOWN = 2_000; // ms

export function CopyButton({ text, label }: { text: string; label: string }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), SHOWN);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <Button
      type="text"
      size="small"
      title={label}
      aria-label={copied ? t("action.copied") : label}
      icon={<Icon name={copied ? "check" : "copy"} size={13} />}
      onClick={() => void copyText(text).then(setCopied)}
    />
  );
}
