export interface Viewer {
  username: string;
  role: "driver" | "observer";
}

export interface Ready {
  type: "ready";
  session: string;
  role: Viewer["role"];
  recorded: boolean;
  columns: number;
  rows: number;
  resumed: boolean;
  username: string;
}

// Text frames of the server. Binary frames carry the output of the terminal.
export type ServerFrame =
  | Ready
  | { type: "viewers"; viewers: Viewer[] }
  | { type: "resize"; columns: number; rows: number }
  | { type: "exit"; code: number | null; reason: string }
  | { type: "error"; reason: string };

export type ClientFrame =
  | { type: "resize"; columns: number; rows: number }
  | { type: "credit"; offset: number }
  | { type: "close" };
