import i18next from "i18next";
import { expect, test } from "vitest";
import { auditEntry } from "@/features/audit/entry.fixture";
import { outcomeOf, sentenceOf } from "@/features/audit/entry-texts";
import en from "@/features/audit/sentences/en.json";
import zh from "@/features/audit/sentences/zh-CN.json";

const said = (changes: Parameters<typeof auditEntry>[0]) =>
  sentenceOf(auditEntry(changes), i18next.t);

test("an entry is a sentence with names", () => {
  expect(said({})).toBe("alice deleted /srv/a on box.");
});

test("a refusal and a failure are no successes", () => {
  expect(said({ allowed: false, reason: "not the owner" })).toBe(
    "alice was not allowed to delete /srv/a on box.",
  );
  expect(said({ reason: "The server is offline." })).toBe("alice could not delete /srv/a on box.");
});

test("the end of a terminal is no failure", () => {
  expect(outcomeOf(auditEntry({ action: "shell.close", reason: "the shell exited" }))).toBe(
    "allowed",
  );
});

test("a failed log-in names the account", () => {
  expect(
    said({
      actor: "anonymous",
      username: null,
      action: "session.login",
      detail: "bob",
      allowed: false,
    }),
  ).toBe("Somebody without a login was not allowed to log in as bob.");
});

test("deleted users and servers are called by a part of their id", () => {
  expect(said({ username: null, object_name: null })).toBe(
    "deleted user aaaaaaaa deleted /srv/a on deleted server bbbbbbbb.",
  );
});

test("an action that this console does not know is named", () => {
  expect(said({ action: "future.thing-done" })).toBe("alice did future.thing-done on box.");
  expect(said({ action: "future.thing", object: "", allowed: false })).toBe(
    "alice was not allowed to do future.thing.",
  );
});

test("texts from outside are neither templates nor invisible", () => {
  expect(said({ detail: "/{{actor}}/$t(audit.title)/\u001b[31m\u202e" })).toBe(
    "alice deleted /{{actor}}/$t(audit.title)/‹ESC›[31m‹U+202E› on box.",
  );
});

test("every action has both forms", () => {
  expect(Object.keys(en.do)).toEqual(Object.keys(en.did));
});

test("every action has a Chinese text", () => {
  for (const form of ["did", "do"] as const) {
    expect(Object.keys(zh[form])).toEqual(Object.keys(en[form]));
  }
});
