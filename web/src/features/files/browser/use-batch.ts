import { useState } from "react";
import { useRefreshFiles } from "@/api/files";
import { isProblem } from "@/api/problem";

export interface Failed<T> {
  item: T;
  error: unknown;
}

export interface Batch<T> {
  running: boolean;
  done: number;
  total: number;
  failed: readonly Failed<T>[];
  // Failures that replacing the existing file may solve.
  existing: readonly Failed<T>[];
  // Resolves to true if every item succeeded. With `overwrite`, replacing is not offered again.
  run: (
    items: readonly T[],
    work: (item: T) => Promise<unknown>,
    overwrite?: boolean,
  ) => Promise<boolean>;
}

function existsAlready(error: unknown): boolean {
  return isProblem(error, "/problems/already-exists", "/problems/agent-conflict");
}

// Runs an action on several files, one after the other. A failure does not stop the rest.
export function useBatch<T>(server: string): Batch<T> {
  const refresh = useRefreshFiles(server);
  const [state, setState] = useState<Omit<Batch<T>, "run" | "existing">>({
    running: false,
    done: 0,
    total: 0,
    failed: [],
  });
  const [final, setFinal] = useState(false);
  const run: Batch<T>["run"] = async (items, work, overwrite = false) => {
    const failed: Failed<T>[] = [];
    setFinal(overwrite);
    setState({ running: true, done: 0, total: items.length, failed: [] });
    for (const [index, item] of items.entries()) {
      try {
        await work(item);
      } catch (error) {
        failed.push({ item, error });
      }
      setState({ running: true, done: index + 1, total: items.length, failed: [...failed] });
    }
    setState({ running: false, done: items.length, total: items.length, failed });
    await refresh();
    return failed.length === 0;
  };
  const existing =
    state.running || final ? [] : state.failed.filter(({ error }) => existsAlready(error));
  return { ...state, existing, run };
}
