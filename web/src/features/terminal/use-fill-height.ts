import { type RefObject, useLayoutEffect, useState } from "react";

const SMALLEST = 280; // px
const BELOW = 16; // px
const PHONE_RAIL = 52; // px, at the foot of narrow screens

// What is left of the window below the element's top; less while a phone's keyboard is up.
export function useFillHeight(element: RefObject<HTMLElement | null>, whole: boolean): number {
  const [height, setHeight] = useState(SMALLEST);
  useLayoutEffect(() => {
    const measure = () => {
      // Hidden, it keeps the height it had.
      if (!element.current || element.current.clientWidth === 0) return;
      const room = window.visualViewport?.height ?? window.innerHeight;
      const top = element.current.getBoundingClientRect().top + window.scrollY;
      const rail = window.innerWidth <= 720 ? PHONE_RAIL : 0;
      setHeight(whole ? room : Math.max(SMALLEST, Math.floor(room - top - rail - BELOW)));
    };
    measure();
    // Facts above it may take another line.
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    window.addEventListener("resize", measure);
    window.visualViewport?.addEventListener("resize", measure);
    return () => {
      observer.disconnect();
      window.removeEventListener("resize", measure);
      window.visualViewport?.removeEventListener("resize", measure);
    };
  }, [element, whole]);
  return height;
}
