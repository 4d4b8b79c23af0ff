// The selected names, and the name that has the keyboard focus.
export interface Selection {
  chosen: ReadonlySet<string>;
  active: string | null;
  // Start of a range.
  anchor: string | null;
}

export const NOTHING: Selection = { chosen: new Set(), active: null, anchor: null };

export function only(name: string): Selection {
  return { chosen: new Set([name]), active: name, anchor: name };
}

export function toggled(selection: Selection, name: string): Selection {
  const chosen = new Set(selection.chosen);
  if (!chosen.delete(name)) chosen.add(name);
  return { chosen, active: name, anchor: name };
}

export function ranged(selection: Selection, names: readonly string[], name: string): Selection {
  const to = names.indexOf(name);
  const from = selection.anchor === null ? to : names.indexOf(selection.anchor);
  if (from < 0) return only(name);
  const chosen = new Set(names.slice(Math.min(from, to), Math.max(from, to) + 1));
  return { chosen, active: name, anchor: names[from] ?? name };
}

export function moved(
  selection: Selection,
  names: readonly string[],
  by: number,
  extend: boolean,
): Selection {
  if (names.length === 0) return NOTHING;
  const at = selection.active === null ? -1 : names.indexOf(selection.active);
  const from = at < 0 ? (by > 0 ? -1 : names.length) : at;
  const name = names[Math.max(0, Math.min(names.length - 1, from + by))];
  if (name === undefined) return selection;
  return extend ? ranged(selection, names, name) : only(name);
}

export function all(selection: Selection, names: readonly string[]): Selection {
  return { ...selection, chosen: new Set(names) };
}

// Drop names that are no longer listed from a selection.
export function withoutMissing(selection: Selection, names: readonly string[]): Selection {
  const there = new Set(names);
  const still = (name: string | null) => (name !== null && there.has(name) ? name : null);
  const chosen = new Set([...selection.chosen].filter((name) => there.has(name)));
  const active = still(selection.active);
  const anchor = still(selection.anchor);
  const same = chosen.size === selection.chosen.size;
  if (same && active === selection.active && anchor === selection.anchor) return selection;
  return { chosen, active, anchor };
}
