import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type TotpEnrolment = components["schemas"]["TotpEnrolment"];

const KEY = ["factors"];

export const factorsQuery = queryOptions({
  queryKey: KEY,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/auth/factors", { signal })),
});

export function enrolTotp(password: string): Promise<TotpEnrolment> {
  return unwrap(api.POST("/api/v1/auth/factors/totp", { body: { password } }));
}

async function confirmTotp(code: string): Promise<string[]> {
  const body = { code };
  return (await unwrap(api.POST("/api/v1/auth/factors/totp/confirmation", { body }))).codes;
}

async function renewCodes(code: string): Promise<string[]> {
  return (await unwrap(api.POST("/api/v1/auth/factors/recovery-codes", { body: { code } }))).codes;
}

function removeTotp(password: string): Promise<unknown> {
  return unwrap(api.POST("/api/v1/auth/factors/totp/removal", { body: { password } }));
}

function useChange<T>(mutationFn: (proof: string) => Promise<T>) {
  const client = useQueryClient();
  // Recovery codes and secrets are shown once, and are not kept.
  return useMutation({
    mutationFn,
    gcTime: 0,
    onSuccess: () => client.invalidateQueries({ queryKey: KEY }),
  });
}

export const useConfirmTotp = () => useChange(confirmTotp);
export const useRenewCodes = () => useChange(renewCodes);
export const useRemoveTotp = () => useChange(removeTotp);
