import type { Permissions, RequestedPermissions } from "@/api/vps";

// Monitoring only.
export const NO_PERMISSIONS: RequestedPermissions = {
  shell: false,
  commands: false,
  files: "off",
  docker: "off",
  file_roots: ["/"],
  run_as: "agent",
};

// The permissions that a server allows now, as a starting point.
export function currentPermissions(powers: Permissions | null): RequestedPermissions {
  if (!powers) return NO_PERMISSIONS;
  const { shell, commands, files, docker, file_roots, user } = powers;
  return {
    shell,
    commands,
    files,
    docker,
    run_as: user === "root" ? "root" : "agent",
    file_roots: file_roots.length > 0 ? file_roots : NO_PERMISSIONS.file_roots,
  };
}

export function allowsAnything({
  shell,
  commands,
  files,
  docker,
}: Permissions | RequestedPermissions): boolean {
  return shell || commands || files !== "off" || docker !== "off";
}

// Remove the empty lines from the list of folders, as the API expects.
export function withoutBlankRoots(requested: RequestedPermissions): RequestedPermissions {
  const roots = requested.file_roots.map((root) => root.trim()).filter((root) => root !== "");
  return { ...requested, file_roots: roots.length > 0 ? roots : ["/"] };
}
