import type { FileEntry } from "@/api/files";
import { ChecksumDialog } from "@/features/files/dialogs/checksum-dialog";
import { DeleteDialog } from "@/features/files/dialogs/delete-dialog";
import type { DialogProps, Intent } from "@/features/files/dialogs/intent";
import { NameDialog } from "@/features/files/dialogs/name-dialog";
import { PackDialog } from "@/features/files/dialogs/pack-dialog";
import { PermissionsDialog } from "@/features/files/dialogs/permissions-dialog";
import { TransferDialog } from "@/features/files/dialogs/transfer-dialog";

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
