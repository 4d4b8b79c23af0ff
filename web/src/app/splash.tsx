import { Icon } from "@/components/ui/icons";

export function Splash() {
  return (
    <div
      style={{ display: "grid", placeItems: "center", minHeight: "100vh", color: "var(--accent)" }}
    >
      <Icon name="mark" size={34} />
    </div>
  );
}
