import type { OrganisationRole } from "@/api/access";
import { type User, useSession } from "@/api/session";

// An account with a role in the organisation to which the server of vps.fixture.ts belongs.
export function account(role: OrganisationRole, change: Partial<User> = {}): User {
  return {
    id: "u1",
    username: "ann",
    email: "ann@example.com",
    role: "member",
    created_at: "2026-01-01T00:00:00.000Z",
    organisations: [{ id: "o1", name: "ann", role }],
    ...change,
  };
}

export function logInAs(user: User): void {
  useSession.setState({ phase: "in", user, accessToken: "t1" });
}
