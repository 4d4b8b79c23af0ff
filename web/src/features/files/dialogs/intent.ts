import type { FileEntry } from "@/api/files";
import type { Vps } from "@/api/vps";

export type Naming = { kind: "folder" } | { kind: "file" } | { kind: "rename"; entry: FileEntry };

// The action that a dialog asks about.
export type Intent =
  | Naming
  | { kind: "extract" | "checksum"; entry: FileEntry }
  | { kind: "move" | "copy" | "delete" | "permissions" | "archive"; entries: readonly FileEntry[] };

export interface DialogProps {
  vps: Vps;
  folder: string;
  onClose: () => void;
}
