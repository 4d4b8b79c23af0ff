import { useSyncExternalStore } from "react";

interface Media {
  matches: boolean;
  subscribe: (listener: () => void) => () => void;
}

const known = new Map<string, Media>();

function media(query: string): Media {
  let found = known.get(query);
  if (found === undefined) {
    const list = window.matchMedia(query);
    found = {
      get matches() {
        return list.matches;
      },
      subscribe: (listener) => {
        list.addEventListener("change", listener);
        return () => list.removeEventListener("change", listener);
      },
    };
    known.set(query, found);
  }
  return found;
}

// Whether a media query such as "(prefers-reduced-motion: reduce)" matches now.
export function useMedia(query: string): boolean {
  const { subscribe } = media(query);
  return useSyncExternalStore(subscribe, () => media(query).matches);
}
