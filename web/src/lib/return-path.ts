export function loginPath(from: string): string {
  return from === "/" ? "/login" : `/login?next=${encodeURIComponent(from)}`;
}

// The page to open after the login: always a path of this console.
export function returnPath(search: URLSearchParams): string {
  const next = search.get("next") ?? "/";
  const target = URL.canParse(next, window.location.origin)
    ? new URL(next, window.location.origin)
    : null;
  if (target?.origin !== window.location.origin || target.pathname === "/login") return "/";
  return target.pathname + target.search;
}
