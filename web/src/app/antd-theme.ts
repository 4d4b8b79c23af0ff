import { type ThemeConfig, theme } from "antd";
import type { MapToken, SeedToken } from "antd/es/theme/interface";

// The values of tokens.css. Ant Design computes with colours, so it cannot use CSS variables.
const DARK = {
  colorPrimary: "#4f9cf9",
  colorInfo: "#4f9cf9",
  colorLink: "#4f9cf9",
  colorSuccess: "#22b07d",
  colorWarning: "#d99a1c",
  colorError: "#f0555a",
  colorTextBase: "#e8ecf2",
  colorBgBase: "#0e1116",
  colorBgContainer: "#151a21",
  colorBgElevated: "#1b212a",
  colorBgLayout: "#0e1116",
  colorText: "#e8ecf2",
  colorTextSecondary: "#97a1b0",
  colorTextTertiary: "#97a1b0",
  colorTextDescription: "#97a1b0",
  colorTextPlaceholder: "#7f8a9a",
  colorBorder: "#2f3946",
  colorBorderSecondary: "#242c37",
  colorTextLightSolid: "#06121f",
  colorPrimaryHover: "#74b3fb",
  colorPrimaryActive: "#3f8ae6",
};

const LIGHT: typeof DARK = {
  colorPrimary: "#1769d6",
  colorInfo: "#1769d6",
  colorLink: "#1769d6",
  colorSuccess: "#0f7d56",
  colorWarning: "#956200",
  colorError: "#cf2f35",
  colorTextBase: "#141a22",
  colorBgBase: "#ffffff",
  colorBgContainer: "#ffffff",
  colorBgElevated: "#ffffff",
  colorBgLayout: "#f4f6f9",
  colorText: "#141a22",
  colorTextSecondary: "#525e6c",
  colorTextTertiary: "#525e6c",
  colorTextDescription: "#525e6c",
  colorTextPlaceholder: "#667180",
  colorBorder: "#d5dce4",
  colorBorderSecondary: "#e3e8ee",
  colorTextLightSolid: "#ffffff",
  colorPrimaryHover: "#0f57b8",
  colorPrimaryActive: "#0c4896",
};

// Font sizes between those of the compact and the default algorithm, and the accent colour
// unchanged.
function asDrawn(colors: typeof DARK) {
  return (seed: SeedToken, map: MapToken = theme.defaultAlgorithm(seed)): MapToken => ({
    ...map,
    fontSize: 13,
    fontSizeSM: 12,
    fontSizeLG: 14,
    colorPrimary: colors.colorPrimary,
    colorPrimaryHover: colors.colorPrimaryHover,
    colorPrimaryActive: colors.colorPrimaryActive,
    colorError: colors.colorError,
  });
}

export function antdTheme(dark: boolean, animated: boolean): ThemeConfig {
  const colors = dark ? DARK : LIGHT;
  return {
    algorithm: [
      dark ? theme.darkAlgorithm : theme.defaultAlgorithm,
      theme.compactAlgorithm,
      asDrawn(colors),
    ],
    token: {
      ...colors,
      // Even the shortest animation of a dialog starts small, and a click in that frame misses.
      motion: animated,
      fontFamily: "var(--font)",
      // The compact algorithm reduces this to 34.
      controlHeight: 38,
      borderRadius: 8,
      wireframe: false,
    },
    components: {
      Button: { primaryShadow: "none", defaultShadow: "none", fontWeight: 550 },
      Segmented: {
        trackBg: colors.colorBgContainer,
        itemSelectedBg: dark ? "#262f3b" : "#e6ebf1",
        itemColor: colors.colorTextSecondary,
        trackPadding: 2,
      },
      Tooltip: { colorTextLightSolid: dark ? "#e8ecf2" : "#ffffff" },
    },
  };
}
