import type { FileEntry } from "@/api/files";
import type { Vps } from "@/api/vps";
import { ChecksumDialog } from "@/features/files/checksum-dialog";
import { DeleteDialog } from "@/features/files/delete-dialog";
import { NameDialog } from "@/features/files/name-dialog";
import { PackDialog } from "@/features/files/pack-dialog";
import { PermissionsDialog } from "@/features/files/permissions-dialog";
import { TransferDialog } from "@/features/files/transfer-dialog";

export type Naming = { kind: "folder" } | { kind: "file" } | { kind: "rename"; entry: FileEntry };

// What somebody is about to do.
export type Intent =
  | Naming
  | { kind: "extract" | "checksum"; entry: FileEntry }
  | { kind: "move" | "copy" | "delete" | "permissions" | "archive"; entries: readonly FileEntry[] };

export interface DialogProps {
  vps: Vps;
  folder: string;
  onClose: () => void;
}

interface Props extends DialogProps {
  intent: Intent;
  entries: readonly FileEntry[];
  onOpenFile: (name: string) => void;
}

export function FileDialog({ intent, entries, onOpenFile, ...common }: Props) {
  switch (intent.kind) {
    case "folder":
    case "file":
    case "rename":
      return <NameDialog {...common} intent={intent} entries={entries} onOpenFile={onOpenFile} />;
    case "move":
    case "copy":
      return <TransferDialog {...common} kind={intent.kind} entries={intent.entries} />;
    case "delete":
      return <DeleteDialog {...common} entries={intent.entries} />;
    case "permissions":
      return <PermissionsDialog {...common} entries={intent.entries} />;
    case "archive":
      return <PackDialog {...common} kind="archive" entries={intent.entries} />;
    case "extract":
      return <PackDialog {...common} kind="extract" entries={[intent.entry]} />;
    case "checksum":
      return <ChecksumDialog {...common} entry={intent.entry} />;
  }
}
