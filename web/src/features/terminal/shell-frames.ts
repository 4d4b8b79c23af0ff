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

// What the server says in text frames; binary ones are the terminal's output.
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
