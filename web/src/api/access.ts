import { useMemo } from "react";
import type { components } from "@/api/schema.gen";
import { type User, useSession } from "@/api/session";
import type { Vps } from "@/api/vps";

export type OrganisationRole = components["schemas"]["OrganisationRole"];

// Each role includes the ones before it.
export const ROLES = ["viewer", "operator", "admin", "owner"] as const;

// What the console offers a user on a server. The gateway checks every request itself.
export interface Rights {
  // Terminals, files, runs and actions on containers.
  act: boolean;
  // The name, the settings, the install line and the deletion.
  manage: boolean;
}

export function reaches(role: OrganisationRole | null, needed: OrganisationRole): boolean {
  return role !== null && ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

// Returns the roles that a member may give to others and take from them.
export function grantable(own: OrganisationRole | null): OrganisationRole[] {
  return reaches(own, "admin") ? ROLES.filter((role) => reaches(own, role)) : [];
}

export function roleIn(user: User | null, organisationId: string): OrganisationRole | null {
  return user?.organisations.find(({ id }) => id === organisationId)?.role ?? null;
}

// A server of another organisation is shared with the user, as a viewer or as an operator. The API
// does not say which to them, so the console offers what an operator may do.
export function rightsOf(role: OrganisationRole | null): Rights {
  return { act: reaches(role ?? "operator", "operator"), manage: reaches(role, "admin") };
}

export function useRights({ organisation_id }: Pick<Vps, "organisation_id">): Rights {
  const role = useSession(({ user }) => roleIn(user, organisation_id));
  return useMemo(() => rightsOf(role), [role]);
}

// Returns the servers on which the user may act.
export function useActable(fleet: readonly Vps[]): readonly Vps[] {
  const user = useSession((session) => session.user);
  return useMemo(
    () => fleet.filter((vps) => rightsOf(roleIn(user, vps.organisation_id)).act),
    [fleet, user],
  );
}

// Returns the organisations of the user in which they have at least this role.
export function useOrganisations(needed: OrganisationRole): User["organisations"] {
  const user = useSession((session) => session.user);
  return useMemo(
    () => (user?.organisations ?? []).filter(({ role }) => reaches(role, needed)),
    [user, needed],
  );
}

// Limits the permissions of a server to what a role may use: viewers may only look at Docker.
export function withinRole(vps: Vps, { act }: Rights): Vps {
  if (act || !vps.powers) return vps;
  const docker = vps.powers.docker === "off" ? "off" : "read";
  return {
    ...vps,
    powers: { ...vps.powers, shell: false, commands: false, files: "off", docker },
  };
}
