import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type LoginSession = components["schemas"]["LoginSession"];
export type PasswordChange = components["schemas"]["PasswordChange"];

const ALL = ["login-sessions"] as const;

export const loginSessionsQuery = () =>
  queryOptions({
    queryKey: ALL,
    queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/sessions", { signal }))).items,
  });

export function useEndLoginSession() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(api.DELETE("/api/v1/sessions/{session_id}", { params: { path: { session_id: id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: ALL }),
  });
}

export function useEndOtherLoginSessions() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/sessions")),
    onSettled: () => client.invalidateQueries({ queryKey: ALL }),
  });
}

// The gateway also ends all other login sessions.
export function useChangePassword() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: PasswordChange) => unwrap(api.PUT("/api/v1/auth/password", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: ALL }),
  });
}
