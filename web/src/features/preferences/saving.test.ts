import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { useSession } from "@/api/session";
import {
  type Choices,
  choose,
  languageOf,
  usePreferences,
} from "@/features/preferences/preferences";
import { adopt, startSaving, useSaving } from "@/features/preferences/saving";
import { NO_CHOICES } from "@/lib/format/preferences";
import { json, problem, stubApi } from "@/testing/api-stub";

const NOTHING: Choices = { ...NO_CHOICES, theme: null, language: null };
const PATCH = "PATCH /auth/me/preferences";

let stop: () => void;

function logIn(id: string, preferences: Choices): void {
  useSession.setState({
    phase: "in",
    user: {
      id,
      username: id,
      email: null,
      role: "member",
      created_at: "2026-01-01T00:00:00Z",
      organisations: [],
    },
    preferences,
  });
}

function gateway(stored: Choices) {
  return stubApi({
    [PATCH]: ({ body }) => json({ ...stored, ...(body as Partial<Choices>) }),
    "GET /auth/me/preferences": { ...stored },
  });
}

beforeEach(() => {
  usePreferences.setState(usePreferences.getInitialState(), true);
  useSession.setState(useSession.getInitialState(), true);
  stop = startSaving();
});

afterEach(() => stop());

test("what the gateway stores applies after a log-in, and nothing is sent", () => {
  const requests = gateway(NOTHING);
  logIn("anna", { ...NOTHING, clock: "12h", theme: "light", time_zone: "UTC" });
  expect(usePreferences.getState()).toMatchObject({
    clock: "12h",
    theme: "light",
    time_zone: "UTC",
    owner: "anna",
  });
  expect(requests).toEqual([]);
});

test("a choice applies at once and is saved", async () => {
  const requests = gateway(NOTHING);
  logIn("anna", NOTHING);
  choose({ rate_unit: "bytes" });
  expect(usePreferences.getState().rate_unit).toBe("bytes");
  await vi.waitFor(() => expect(useSaving.getState().phase).toBe("saved"));
  expect(requests.map(({ body }) => body)).toEqual([{ rate_unit: "bytes" }]);
  expect(usePreferences.getState().unsaved).toEqual([]);
});

test("a choice that is made while another one is saved is saved after it", async () => {
  const requests = gateway(NOTHING);
  logIn("anna", NOTHING);
  choose({ clock: "12h" });
  choose({ clock: "24h", size_unit: "decimal" });
  await vi.waitFor(() => expect(usePreferences.getState().unsaved).toEqual([]));
  expect(usePreferences.getState()).toMatchObject({ clock: "24h", size_unit: "decimal" });
  expect(requests.at(-1)?.body).toEqual({ clock: "24h", size_unit: "decimal" });
});

test("a choice that could not be saved stays and is saved with the next log-in", async () => {
  stubApi({ [PATCH]: () => problem("internal-error", 500) });
  logIn("anna", NOTHING);
  choose({ clock: "12h" });
  await vi.waitFor(() => expect(useSaving.getState().phase).toBe("failed"));
  expect(usePreferences.getState()).toMatchObject({ clock: "12h", unsaved: ["clock"] });

  const requests = gateway({ ...NOTHING, clock: "24h" });
  logIn("anna", { ...NOTHING, clock: "24h" });
  expect(usePreferences.getState().clock).toBe("12h");
  await vi.waitFor(() => expect(requests.map(({ body }) => body)).toEqual([{ clock: "12h" }]));
});

test("a choice that the gateway refuses is taken back", async () => {
  stubApi({
    [PATCH]: () => problem("validation", 422),
    "GET /auth/me/preferences": { ...NOTHING, time_zone: "Europe/Berlin" },
  });
  logIn("anna", { ...NOTHING, time_zone: "Europe/Berlin" });
  choose({ time_zone: "Mars/Olympus" });
  await vi.waitFor(() => expect(usePreferences.getState().time_zone).toBe("Europe/Berlin"));
  expect(usePreferences.getState().unsaved).toEqual([]);
  expect(useSaving.getState().phase).toBe("failed");
});

test("another user of the browser gets nothing of the choices before", () => {
  const requests = gateway(NOTHING);
  adopt("anna", { ...NOTHING, clock: "12h", theme: "light", time_zone: "UTC" });
  usePreferences.setState({ unsaved: ["clock"] });
  logIn("ben", NOTHING);
  expect(usePreferences.getState()).toMatchObject({
    clock: null,
    theme: "system",
    time_zone: null,
    owner: "ben",
    unsaved: [],
  });
  expect(requests).toEqual([]);
});

test("a language chosen on the log-in page is saved for the user who logs in", async () => {
  const requests = gateway(NOTHING);
  adopt("anna", { ...NOTHING, theme: "light" });
  choose({ language: "zh-CN" });
  expect(requests).toEqual([]);
  logIn("ben", { ...NOTHING, language: "en" });
  expect(usePreferences.getState().language).toBe("zh-CN");
  await vi.waitFor(() => expect(requests.map(({ body }) => body)).toEqual([{ language: "zh-CN" }]));
});

test("the language of the browser is not kept as a choice", () => {
  logIn("anna", NOTHING);
  expect(usePreferences.getState().language).toBeNull();
  expect(languageOf(usePreferences.getState())).toBe("en");
});

test("a theme of this browser stays if the gateway stores none", () => {
  usePreferences.setState({ theme: "light" });
  logIn("anna", NOTHING);
  expect(usePreferences.getState()).toMatchObject({ theme: "light", unsaved: [] });
  logIn("anna", { ...NOTHING });
  expect(usePreferences.getState().theme).toBe("light");
});
