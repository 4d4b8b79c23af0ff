import type { TFunction } from "i18next";
import type { FileEntry } from "@/api/files";
import type { Vps } from "@/api/vps";
import { escapeInvisible } from "@/lib/escape-invisible";

type Act = "move" | "copy" | "delete" | "permissions" | "archive";

// The title of a dialog: the action, its files and the server.
export function confirmText(
  t: TFunction,
  act: Act,
  entries: readonly FileEntry[],
  vps: Vps,
): string {
  const [first] = entries;
  if (first && entries.length === 1) {
    return t(`files.title.${act}`, { name: escapeInvisible(first.name), server: vps.name });
  }
  return t(`files.titleMany.${act}`, { count: entries.length, server: vps.name });
}
