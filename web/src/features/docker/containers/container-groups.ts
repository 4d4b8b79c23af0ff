import type { Container } from "@/api/docker";

export interface Group {
  // Null for containers without a Compose project.
  project: string | null;
  containers: Container[];
}

export interface Filter {
  text: string;
  state: string; // a state of the Docker engine, or "" for all
}

export function nameOf({ id, names }: Pick<Container, "id" | "names">): string {
  return names[0]?.replace(/^\//, "") ?? id.slice(0, 12);
}

function matches(container: Container, { text, state }: Filter): boolean {
  if (state !== "" && container.state !== state) return false;
  const lowerTerm = text.trim().toLowerCase();
  if (lowerTerm === "") return true;
  const { names, image, project, service, id } = container;
  return [...names, image, project, service, id].some((field) =>
    field?.toLowerCase().includes(lowerTerm),
  );
}

// Group the matching containers by project, sorted by name. Containers without a project come last.
export function groupContainers(containers: readonly Container[], filter: Filter): Group[] {
  const byProject = new Map<string | null, Container[]>();
  for (const container of containers) {
    if (!matches(container, filter)) continue;
    const known = byProject.get(container.project);
    if (known) known.push(container);
    else byProject.set(container.project, [container]);
  }
  return [...byProject]
    .map(([project, members]) => ({
      project,
      containers: members.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b))),
    }))
    .toSorted((a, b) => {
      if (a.project === null || b.project === null) return a.project === null ? 1 : -1;
      return a.project.localeCompare(b.project);
    });
}

const ORDER = ["running", "restarting", "paused", "created", "exited", "dead"];

// Count the containers in each state that occurs.
export function stateCounts(containers: readonly Container[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { state } of containers) counts.set(state, (counts.get(state) ?? 0) + 1);
  const rank = (state: string) => (ORDER.indexOf(state) + 1 || ORDER.length + 1) - 1;
  return [...counts].toSorted(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

export function isUp({ state }: Container): boolean {
  return state === "running" || state === "restarting" || state === "paused";
}

// Compose creates dependencies first, so containers start in that order and stop in the reverse
// order.
export function inStartOrder(containers: readonly Container[], act: "start" | "stop"): Container[] {
  const concerned = containers.filter((container) => isUp(container) === (act === "stop"));
  const made = concerned.toSorted((a, b) => (a.created_at ?? "").localeCompare(b.created_at ?? ""));
  return act === "start" ? made : made.reverse();
}
