import { Icon, type IconName } from "@/components/ui/icons";

const ICONS: Readonly<Record<string, IconName>> = {
  debian: "debian",
  ubuntu: "ubuntu",
  alpine: "alpine",
  rocky: "rocky",
  rhel: "rocky",
  almalinux: "rocky",
  centos: "rocky",
  fedora: "rocky",
};

interface Props {
  osId: string | undefined;
  label: string | undefined;
}

export function OsIcon({ osId, label }: Props) {
  const name = ICONS[osId ?? ""] ?? "linux";
  if (!label) return <Icon name={name} size={15} />;
  return (
    <span title={label} style={{ display: "inline-flex", color: "var(--soft)" }}>
      <Icon name={name} size={15} />
      <span className="sr-only">{label}</span>
    </span>
  );
}
