// Runs before the first paint, so that a light page never flashes dark. A file, because the
// content security policy allows no inline script.
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
