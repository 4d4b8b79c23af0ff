import { useState } from "react";
import { useRefreshFiles } from "@/api/files";
import { ApiError } from "@/api/problem";

export interface Failed<T> {
  item: T;
  error: unknown;
}

export interface Batch<T> {
  running: boolean;
  done: number;
  total: number;
  failed: readonly Failed<T>[];
  // What might be done by replacing what is there.
  taken: readonly Failed<T>[];
  // Resolves to whether all went well. With `overwrite` nothing more is offered.
  run: (
    items: readonly T[],
    work: (item: T) => Promise<unknown>,
    overwrite?: boolean,
  ) => Promise<boolean>;
}

function isTaken(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.agentFailure === null;
}

// One after the other; what fails does not hold up the rest.
export function useBatch<T>(server: string): Batch<T> {
  const refresh = useRefreshFiles(server);
  const [state, setState] = useState<Omit<Batch<T>, "run" | "taken">>({
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
  const taken = state.running || final ? [] : state.failed.filter(({ error }) => isTaken(error));
  return { ...state, taken, run };
}
