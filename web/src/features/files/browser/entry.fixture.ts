import type { FileEntry } from "@/api/files";

export function entryOf(name: string, known: Partial<FileEntry> = {}): FileEntry {
  return {
    name,
    kind: "file",
    size_bytes: 0,
    mode: 0o644,
    user_id: 0,
    group_id: 0,
    owner: "root",
    group: "root",
    modified_at: "2026-01-01T00:00:00Z",
    link_target: "",
    version: "1",
    ...known,
  };
}
