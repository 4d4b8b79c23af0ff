export const MINUTE = 60; // seconds
export const HOUR = 3_600;
export const DAY = 86_400;

export interface Duration {
  unit: "second" | "minute" | "hour" | "day";
  count: number;
}

// Choose one unit for a duration: hours up to two days, then days.
export function coarseDuration(seconds: number): Duration {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return { unit: "second", count: whole };
  if (whole < HOUR) return { unit: "minute", count: Math.floor(whole / MINUTE) };
  if (whole < 2 * DAY) return { unit: "hour", count: Math.floor(whole / HOUR) };
  return { unit: "day", count: Math.floor(whole / DAY) };
}

// Format a countdown as minutes and seconds.
export function formatCountdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / MINUTE)}:${String(whole % MINUTE).padStart(2, "0")}`;
}
