import { useCallback } from "react";
import { useSearchParams } from "react-router";

const NAME = "run";

// The run that is open is part of the address of any page, so that a reload, a bookmark and
// another device show it too.
export function useRunAddress(): [string | null, (id: string | null) => void] {
  const [search, setSearch] = useSearchParams();
  const open = useCallback(
    (id: string | null) =>
      setSearch(
        (before) => {
          const after = new URLSearchParams(before);
          if (id === null) after.delete(NAME);
          else after.set(NAME, id);
          return after;
        },
        // Closing leaves no step in the browser's history that would open the run again.
        { replace: id === null },
      ),
    [setSearch],
  );
  return [search.get(NAME), open];
}
