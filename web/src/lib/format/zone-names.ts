import { isTimeZone } from "@/lib/format/preferences";

// Browsers list some time zones by names that IANA replaced long ago.
const CURRENT: Partial<Record<string, string>> = {
  "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
  "America/Godthab": "America/Nuuk",
  "America/Indianapolis": "America/Indiana/Indianapolis",
  "America/Louisville": "America/Kentucky/Louisville",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Atlantic/Faeroe": "Atlantic/Faroe",
  "Europe/Kiev": "Europe/Kyiv",
  "Pacific/Enderbury": "Pacific/Kanton",
  "Pacific/Ponape": "Pacific/Pohnpei",
  "Pacific/Truk": "Pacific/Chuuk",
};

// The time zones to choose from, UTC first.
export function timeZoneNames(): string[] {
  const names = Intl.supportedValuesOf("timeZone").map((name) => {
    const current = CURRENT[name];
    return current && isTimeZone(current) ? current : name;
  });
  return [...new Set(["UTC", ...names.sort()])];
}
