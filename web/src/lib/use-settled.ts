import { useEffect, useState } from "react";

const DELAY = 300; // ms

// The value once it has not changed for a moment, so that typing sends one request.
export function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), DELAY);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
