import { create } from "zustand";
import { api } from "@/api/client";
import { isProblem, unwrap } from "@/api/problem";
import { useSession } from "@/api/session";
import {
  type Choices,
  type Preferences,
  STORAGE,
  usePreferences,
} from "@/features/preferences/preferences";

const PATH = "/api/v1/auth/me/preferences";

interface Saving {
  phase: "idle" | "saving" | "saved" | "failed";
  error: unknown;
}

export const useSaving = create<Saving>(() => ({ phase: "idle", error: null }));

type Key = keyof Choices;

function pick(keys: readonly Key[]): Partial<Pick<Preferences, Key>> {
  const state = usePreferences.getState();
  return Object.fromEntries(keys.map((key) => [key, state[key]]));
}

// Take over what the gateway stores of a user, except for newer choices of the same user. A theme or a
// language that was chosen in this browser stays if the gateway stores none.
export function adopt(user: string, stored: Choices): void {
  usePreferences.setState(({ theme, language, owner, unsaved }) => {
    const same = owner === null || owner === user;
    return {
      ...stored,
      theme: stored.theme ?? (same ? theme : "system"),
      language: stored.language ?? (same ? language : null),
      ...(same && pick(unsaved)),
      owner: user,
      unsaved: same ? unsaved : [],
    };
  });
}

// The gateway stored `sent`. A choice that changed meanwhile remains to be saved.
function confirm(user: string, sent: Partial<Choices>, stored: Choices): void {
  usePreferences.setState((state) => ({
    unsaved: state.unsaved.filter((key) => !(key in sent) || state[key] !== sent[key]),
  }));
  adopt(user, stored);
}

// Forget choices that the gateway refuses.
async function restore(user: string): Promise<void> {
  usePreferences.setState({ unsaved: [] });
  adopt(user, await unwrap(api.GET(PATH)));
}

async function saveAll(user: string): Promise<void> {
  useSaving.setState({ phase: "saving", error: null });
  try {
    while (usePreferences.getState().unsaved.length > 0) {
      const sent = pick(usePreferences.getState().unsaved);
      confirm(user, sent, await unwrap(api.PATCH(PATH, { body: sent })));
    }
    useSaving.setState({ phase: "saved" });
  } catch (error) {
    useSaving.setState({ phase: "failed", error });
    if (isProblem(error, "/problems/validation")) await restore(user).catch(() => undefined);
  }
}

let saving: Promise<void> | null = null;

// Store what this browser has chosen and the gateway has not stored yet.
export function save(): Promise<void> {
  const { phase, user } = useSession.getState();
  if (phase !== "in" || !user || usePreferences.getState().unsaved.length === 0) {
    return Promise.resolve();
  }
  saving ??= saveAll(user.id).finally(() => {
    saving = null;
  });
  return saving;
}

// Keep this browser and the gateway at the same choices: each log-in and each renewal of the access
// token brings the stored ones, and each choice is stored at once.
export function startSaving(): () => void {
  let elsewhere = false;
  const stops = [
    useSession.subscribe(({ user, preferences }, before) => {
      if (!user || !preferences || preferences === before.preferences) return;
      adopt(user.id, preferences);
      void save();
    }),
    usePreferences.subscribe(({ unsaved }, before) => {
      if (unsaved !== before.unsaved && unsaved.length > 0 && !elsewhere) void save();
    }),
  ];
  // Another tab of this browser saves its own choices.
  const onStorage = ({ key }: StorageEvent) => {
    if (key !== STORAGE) return;
    elsewhere = true;
    void usePreferences.persist.rehydrate();
    elsewhere = false;
  };
  window.addEventListener("storage", onStorage);
  return () => {
    window.removeEventListener("storage", onStorage);
    for (const stop of stops) stop();
  };
}
