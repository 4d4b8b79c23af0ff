import { type QueryClient, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import type { OrganisationRole } from "@/api/access";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";
import { reloadAccount } from "@/api/session";

export type Member = components["schemas"]["Member"];
export type Invitation = components["schemas"]["Invitation"];
export type NewInvitation = components["schemas"]["NewInvitation"];

const PAGE = 200; // rows per request

const keys = {
  members: (organisationId: string) => ["organisations", organisationId, "members"] as const,
  invitations: ["invitations"] as const,
};

interface Page<T> {
  items: T[];
  total: number;
}

interface Part {
  limit: number;
  offset: number;
}

async function fetchAll<T>(fetchPart: (query: Part) => Promise<Page<T>>): Promise<T[]> {
  const found: T[] = [];
  for (;;) {
    const { items, total } = await fetchPart({ limit: PAGE, offset: found.length });
    found.push(...items);
    if (found.length >= total || items.length === 0) return found;
  }
}

export const membersQuery = (organisationId: string) =>
  queryOptions({
    queryKey: keys.members(organisationId),
    queryFn: ({ signal }) =>
      fetchAll((query) => {
        const params = { path: { organisation_id: organisationId }, query };
        return unwrap(
          api.GET("/api/v1/organisations/{organisation_id}/members", { params, signal }),
        );
      }),
  });

// The open invitations to all organisations that the user administers.
export const invitationsQuery = () =>
  queryOptions({
    queryKey: keys.invitations,
    queryFn: ({ signal }) =>
      fetchAll((query) => unwrap(api.GET("/api/v1/invitations", { params: { query }, signal }))),
  });

// Members, and the account's own roles, which the change may concern.
async function refreshMembers(client: QueryClient, organisationId: string): Promise<void> {
  await reloadAccount();
  await client.invalidateQueries({ queryKey: keys.members(organisationId) });
}

export function useUpdateMember(organisationId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ userId, role }: { userId: string; role: OrganisationRole }) =>
      unwrap(
        api.PATCH("/api/v1/organisations/{organisation_id}/members/{user_id}", {
          params: { path: { organisation_id: organisationId, user_id: userId } },
          body: { role },
        }),
      ),
    onSettled: () => refreshMembers(client, organisationId),
  });
}

export function useRemoveMember(organisationId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (userId: string) =>
      unwrap(
        api.DELETE("/api/v1/organisations/{organisation_id}/members/{user_id}", {
          params: { path: { organisation_id: organisationId, user_id: userId } },
        }),
      ),
    onSettled: () => refreshMembers(client, organisationId),
  });
}

export function useRenameOrganisation(organisationId: string) {
  return useMutation({
    mutationFn: (name: string) =>
      unwrap(
        api.PATCH("/api/v1/organisations/{organisation_id}", {
          params: { path: { organisation_id: organisationId } },
          body: { name },
        }),
      ),
    onSuccess: reloadAccount,
  });
}

export function useInvite(organisationId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (invitation: { email: string; role: OrganisationRole }) =>
      unwrap(
        api.POST("/api/v1/invitations", {
          body: { ...invitation, organisation_id: organisationId },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.invitations }),
  });
}

export function useWithdrawInvitation() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(
        api.DELETE("/api/v1/invitations/{invitation_id}", {
          params: { path: { invitation_id: id } },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: keys.invitations }),
  });
}
