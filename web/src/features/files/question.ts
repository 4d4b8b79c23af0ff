import type { TFunction } from "i18next";
import type { FileEntry } from "@/api/files";
import type { Vps } from "@/api/vps";
import { visible } from "@/lib/visible";

type Act = "move" | "copy" | "delete" | "permissions" | "archive";

// What is about to be done, to what, and where.
export function question(t: TFunction, act: Act, entries: readonly FileEntry[], vps: Vps): string {
  const [first] = entries;
  if (first && entries.length === 1) {
    return t(`files.ask.${act}`, { name: visible(first.name), server: vps.name });
  }
  return t(`files.askMany.${act}`, { count: entries.length, server: vps.name });
}
