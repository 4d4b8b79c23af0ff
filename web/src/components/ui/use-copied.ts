import { useEffect, useState } from "react";
import { copyText } from "@/lib/clipboard";

const SHOWN = 2_000; // ms

// Returns a function that copies a text, and whether a text was copied just now.
export function useCopied(): [copied: boolean, copy: (text: string) => void] {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), SHOWN);
    return () => clearTimeout(timer);
  }, [copied]);
  return [copied, (text) => void copyText(text).then(setCopied)];
}
