import type { AuditEntry } from "@/api/audit";

export const auditEntry = (changes: Partial<AuditEntry> = {}): AuditEntry => ({
  seq: 7,
  id: "5b5f1f0e-0000-4000-8000-000000000007",
  time: "2026-03-01T12:00:00Z",
  stored_at: "2026-03-01T12:00:01Z",
  actor: "user:aaaaaaaa-0000-4000-8000-000000000001",
  username: "alice",
  action: "file.delete",
  object: "vps:bbbbbbbb-0000-4000-8000-000000000002",
  object_name: "box",
  detail: "/srv/a",
  allowed: true,
  reason: "",
  peer: "192.0.2.1",
  hash: "ab".repeat(32),
  ...changes,
});
