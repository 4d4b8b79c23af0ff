import { create } from "zustand";
import { api, setCredentials } from "@/api/client";
import { ApiError, answered } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type User = components["schemas"]["Account"];
type Grant = components["schemas"]["LoggedIn"];

interface SessionState {
  phase: "unknown" | "in" | "out";
  user: User | null;
  // Kept in memory only: a script injected later finds nothing in storage.
  accessToken: string | null;
}

export const useSession = create<SessionState>(() => ({
  phase: "unknown",
  user: null,
  accessToken: null,
}));

function accept(grant: Grant): void {
  useSession.setState({ phase: "in", user: grant.user, accessToken: grant.access_token });
}

function forget(): void {
  useSession.setState({ phase: "out", user: null, accessToken: null });
}

// One tab at a time, since the cookie may be replaced with each renewal.
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  if (!("locks" in navigator)) return work();
  return navigator.locks.request("flotilla-session", work) as Promise<T>;
}

let renewal: Promise<boolean> | null = null;

export function renewSession(): Promise<boolean> {
  renewal ??= exclusively(async () => {
    try {
      accept(await answered(api.POST("/api/v1/auth/refresh")));
      return true;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      forget();
      return false;
    }
  }).finally(() => {
    renewal = null;
  });
  return renewal;
}

export async function logIn(username: string, password: string): Promise<void> {
  accept(await answered(api.POST("/api/v1/auth/login", { body: { username, password } })));
}

export async function logOut(): Promise<void> {
  await answered(api.POST("/api/v1/auth/logout"));
  forget();
}

setCredentials({ token: () => useSession.getState().accessToken, renew: renewSession });
