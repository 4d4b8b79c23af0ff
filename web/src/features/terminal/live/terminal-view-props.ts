import type { UnavailableReason } from "@/features/server/unavailable-reason";
import type { Tab } from "@/features/terminal/saved-tabs";

export interface TerminalViewProps {
  vpsId: string;
  tab: Tab;
  // Why no new session can be opened, or null.
  unavailable: UnavailableReason | null;
  onSession: (session: string) => void;
  onAnother: () => void;
  onTakeOver: () => void;
  onOver: () => void;
  onClose: () => void;
}
