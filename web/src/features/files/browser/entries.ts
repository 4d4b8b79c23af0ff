import type { FileEntry } from "@/api/files";

export type SortKey = "name" | "size" | "mode" | "owner" | "modified";

export interface Order {
  key: SortKey;
  descending: boolean;
}

const collator = new Intl.Collator(undefined, { numeric: true });

export function ownerText({ owner, group, user_id, group_id }: FileEntry): string {
  return `${owner || user_id}:${group || group_id}`;
}

const COMPARE: Record<SortKey, (a: FileEntry, b: FileEntry) => number> = {
  name: () => 0,
  size: (a, b) => a.size_bytes - b.size_bytes,
  mode: (a, b) => a.mode - b.mode,
  owner: (a, b) => collator.compare(ownerText(a), ownerText(b)),
  modified: (a, b) => Date.parse(a.modified_at) - Date.parse(b.modified_at),
};

// Sort entries: folders first, equal ones by name.
export function ordered(entries: readonly FileEntry[], { key, descending }: Order): FileEntry[] {
  const turn = descending ? -1 : 1;
  const rank = ({ kind }: FileEntry) => Number(kind !== "directory");
  return entries.toSorted(
    (a, b) =>
      rank(a) - rank(b) ||
      turn * (COMPARE[key](a, b) || collator.compare(a.name, b.name) || (a.name < b.name ? -1 : 1)),
  );
}

export function filtered(entries: readonly FileEntry[], text: string): readonly FileEntry[] {
  const lowerTerm = text.trim().toLowerCase();
  if (lowerTerm === "") return entries;
  return entries.filter(({ name }) => name.toLowerCase().includes(lowerTerm));
}

const ARCHIVES = /\.(?:tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz|zst)|zip)$/i;

export function isArchive({ kind, name }: FileEntry): boolean {
  return kind === "file" && ARCHIVES.test(name);
}
