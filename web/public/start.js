// Runs before the first paint and while the console's code is on its way. A file, because the
// content security policy allows no inline script.

// A light page never flashes dark.
(() => {
  let theme = "system";
  try {
    theme = JSON.parse(localStorage.getItem("flotilla-preferences") ?? "{}").state?.theme ?? theme;
  } catch {
    // Storage may be forbidden; the system's theme is then the right one.
  }
  const dark =
    theme === "dark" ||
    (theme === "system" && !matchMedia("(prefers-color-scheme: light)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();

// The first requests, which src/api/early.ts takes over. On a slow line they would otherwise cost
// two round trips after the code has arrived.
(() => {
  if (location.pathname === "/login") return;
  const refresh = () => fetch("/api/v1/auth/refresh", { method: "POST" });
  const session = navigator.locks?.request("flotilla-session", refresh) ?? refresh();
  const early = { "POST /api/v1/auth/refresh": session };
  if (location.pathname === "/") {
    const list = "/api/v1/vps?limit=500&offset=0";
    early[`GET ${list}`] = session.then(async (answer) => {
      if (!answer.ok) return answer.clone();
      const { access_token: token } = await answer.clone().json();
      return fetch(list, { headers: { Authorization: `Bearer ${token}` } });
    });
  }
  // Whoever takes an answer over handles its error.
  for (const answer of Object.values(early)) answer.catch(() => undefined);
  window.flotillaEarly = early;
})();
