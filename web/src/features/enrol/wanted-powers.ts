import type { Powers, WantedPowers } from "@/api/vps";

// Monitoring alone.
export const NO_POWERS: WantedPowers = {
  ...{ shell: false, commands: false, files: "off", docker: "off" },
  ...{ file_roots: ["/"], run_as: "agent" },
};

// What a server allows already, to start from.
export function wantedAsNow(powers: Powers | null): WantedPowers {
  if (!powers) return NO_POWERS;
  const { shell, commands, files, docker, file_roots, user } = powers;
  return {
    ...{ shell, commands, files, docker, run_as: user === "root" ? "root" : "agent" },
    file_roots: file_roots.length > 0 ? file_roots : NO_POWERS.file_roots,
  };
}

export function anyPower({ shell, commands, files, docker }: Powers | WantedPowers): boolean {
  return shell || commands || files !== "off" || docker !== "off";
}

// As the server takes them: without the empty lines of somebody who is still typing.
export function askedFor(wanted: WantedPowers): WantedPowers {
  const roots = wanted.file_roots.map((root) => root.trim()).filter((root) => root !== "");
  return { ...wanted, file_roots: roots.length > 0 ? roots : ["/"] };
}
