import { create } from "zustand";
import { api, setCredentials } from "@/api/client";
import { isProblem, unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type User = components["schemas"]["Account"];
export type OwnOrganisation = User["organisations"][number];
export type Registration = components["schemas"]["Registration"];
type Preferences = components["schemas"]["Preferences"];
type Grant = components["schemas"]["LoggedIn"];

interface SessionState {
  phase: "unknown" | "in" | "out";
  user: User | null;
  // As the gateway stores them.
  preferences: Preferences | null;
  // Held in memory only, so that an injected script finds nothing in storage.
  accessToken: string | null;
  // Set while a log-in waits for the code of the second factor. It is kept here because a change of
  // the language renders the page anew.
  challenge: string | null;
}

export const useSession = create<SessionState>(() => ({
  phase: "unknown",
  user: null,
  preferences: null,
  accessToken: null,
  challenge: null,
}));

function accept(grant: Grant): void {
  const { user, preferences, access_token: accessToken } = grant;
  useSession.setState({ phase: "in", user, preferences, accessToken, challenge: null });
}

function forget(): void {
  useSession.setState({ phase: "out", user: null, preferences: null, accessToken: null });
}

// Renews in one browser tab at a time, because each renewal may replace the cookie.
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  if (!("locks" in navigator)) return work();
  return navigator.locks.request("flotilla-session", work) as Promise<T>;
}

let renewal: Promise<boolean> | null = null;

export function renewSession(): Promise<boolean> {
  renewal ??= exclusively(async () => {
    try {
      accept(await unwrap(api.POST("/api/v1/auth/refresh")));
      return true;
    } catch (error) {
      if (!isProblem(error, "/problems/unauthenticated")) throw error;
      forget();
      return false;
    }
  }).finally(() => {
    renewal = null;
  });
  return renewal;
}

export async function logIn(username: string, password: string): Promise<void> {
  accept(await unwrap(api.POST("/api/v1/auth/login", { body: { username, password } })));
}

// Completes the log-in of an account with a second factor.
export async function logInWithCode(challenge: string, code: string): Promise<void> {
  accept(await unwrap(api.POST("/api/v1/auth/login/factor", { body: { challenge, code } })));
}

export function setChallenge(challenge: string | null): void {
  useSession.setState({ challenge });
}

// Makes an account with an invitation. It does not log in.
export async function register(registration: Registration): Promise<void> {
  await unwrap(api.POST("/api/v1/auth/register", { body: registration }));
}

// Fetches the account again, because its organisations or roles may have changed.
export async function reloadAccount(): Promise<void> {
  const user = await unwrap(api.GET("/api/v1/auth/me"));
  if (useSession.getState().phase === "in") useSession.setState({ user });
}

export async function logOut(): Promise<void> {
  await unwrap(api.POST("/api/v1/auth/logout"));
  forget();
}

setCredentials({ token: () => useSession.getState().accessToken, renew: renewSession });
