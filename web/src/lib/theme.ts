import { createContext, useContext } from "react";

const DarkTheme = createContext(true);

export const DarkThemeProvider = DarkTheme.Provider;

// True while the page is drawn in the dark theme.
export function useDark(): boolean {
  return useContext(DarkTheme);
}
