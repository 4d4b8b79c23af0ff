// Paths on a server: absolute, separated by slashes, with any other characters.

export function joined(folder: string, name: string): string {
  return folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}

export function parentOf(path: string): string {
  const at = path.replace(/\/+$/, "").lastIndexOf("/");
  return at <= 0 ? "/" : path.slice(0, at);
}

export function baseName(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}

export function isWithin(path: string, root: string): boolean {
  return root === "/" || path === root || path.startsWith(`${root}/`);
}

// The root that contains a path; the innermost if roots are nested.
export function rootOf(path: string, roots: readonly string[]): string | null {
  const around = roots.filter((root) => isWithin(path, root));
  return around.toSorted((a, b) => b.length - a.length)[0] ?? null;
}

export interface Crumb {
  name: string;
  path: string;
}

// The folders from the root, which keeps its whole path, down to the folder itself.
export function crumbs(path: string, root: string): Crumb[] {
  const found: Crumb[] = [{ name: root, path: root }];
  const rest = path.slice(root === "/" ? 1 : root.length + 1);
  let at = root;
  for (const name of rest.split("/").filter(Boolean)) {
    at = joined(at, name);
    found.push({ name, path: at });
  }
  return found;
}

export type NameFault = "empty" | "slash" | "dots" | "long";

const MAX_NAME_BYTES = 255; // bytes; NAME_MAX of Linux

export function nameFault(name: string): NameFault | null {
  if (name === "") return "empty";
  if (name.includes("/") || name.includes("\0")) return "slash";
  if (name === "." || name === "..") return "dots";
  // A byte that is not UTF-8 is one private character, which has three bytes in UTF-8.
  const bytes = name.replace(/[\uef80-\uefff]/g, "?");
  return new TextEncoder().encode(bytes).length > MAX_NAME_BYTES ? "long" : null;
}

// Find a free name: "notes.txt" becomes "notes (2).txt".
export function freeName(name: string, taken: ReadonlySet<string>): string {
  const [, stem = name, ending = ""] = /^(.+?)((?:\.tar)?\.[^.]*)?$/.exec(name) ?? [];
  for (let count = 2; ; count += 1) {
    const other = `${stem} (${count})${ending}`;
    if (!taken.has(other)) return other;
  }
}
