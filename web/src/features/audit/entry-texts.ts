import i18next, { type TFunction } from "i18next";
import type { AuditEntry } from "@/api/audit";
import en from "@/features/audit/sentences/en.json";
import zh from "@/features/audit/sentences/zh-CN.json";
import { escapeInvisible } from "@/lib/escape-invisible";

// The texts of actions are many, so they are loaded with this page and not with the console.
const NAMESPACE = "auditSentences";
i18next.addResourceBundle("en", NAMESPACE, en);
i18next.addResourceBundle("zh-CN", NAMESPACE, zh);

export type Outcome = "allowed" | "refused" | "failed";

// Entries whose reason explains an end and not a failure.
const ENDS: ReadonlySet<string> = new Set(["shell.close"]);
const SHORT_ID = 8; // characters

export function outcomeOf({ action, allowed, reason }: AuditEntry): Outcome {
  if (!allowed) return "refused";
  return reason === "" || ENDS.has(action) ? "allowed" : "failed";
}

// The name of a user, server or run: its current name, or a part of its id if it was deleted.
export function nameOf(id: string, name: string | null | undefined, t: TFunction): string {
  if (name) return escapeInvisible(name);
  const [kind = "", rest = ""] = id.split(/:(.*)/);
  const short = escapeInvisible(rest.slice(0, SHORT_ID));
  if (id === "console" || id === "anonymous") return t(`audit.actor.${id}`);
  if (kind === "user" || kind === "vps" || kind === "run" || kind === "agent") {
    return t(`audit.unnamed.${kind}`, { id: short });
  }
  return escapeInvisible(id);
}

// Says what happened in one sentence.
export function sentenceOf(entry: AuditEntry, t: TFunction): string {
  const outcome = outcomeOf(entry);
  const values = {
    object: nameOf(entry.object, entry.object_name, t),
    detail: escapeInvisible(entry.detail),
    action: escapeInvisible(entry.action),
  };
  const form = outcome === "allowed" ? "did" : "do";
  // The names of actions have dots and dashes; those of texts have none.
  const known = `${form}.${entry.action.replace(/[.-]/g, "_")}`;
  const other = `${form}.${entry.object === "" ? "otherAlone" : "other"}`;
  const translate = i18next.t as (keys: string[], values: object) => string;
  const phrase = translate([known, other], { ...values, ns: NAMESPACE });
  return t(`audit.sentence.${outcome}`, {
    actor: nameOf(entry.actor, entry.username, t),
    phrase,
  });
}
