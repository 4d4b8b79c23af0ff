// The order decides: most browsers also name others.
const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|Chromium|CriOS|HeadlessChrome)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly [RegExp, string][] = [
  [/\b(?:iPhone|iPad)\b/, "iOS"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "macOS"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bLinux\b/, "Linux"],
];

const LONGEST = 60; // characters

function first(table: readonly [RegExp, string][], text: string): string | undefined {
  return table.find(([pattern]) => pattern.test(text))?.[1];
}

// Returns a short name for a User-Agent header, such as "Firefox · Linux". A program that is no
// known browser is named as it names itself. Returns null if the header is empty.
export function browserName(userAgent: string): string | null {
  const browser = first(BROWSERS, userAgent);
  if (browser) return [browser, first(SYSTEMS, userAgent)].filter(Boolean).join(" · ");
  return userAgent.trim().slice(0, LONGEST) || null;
}
