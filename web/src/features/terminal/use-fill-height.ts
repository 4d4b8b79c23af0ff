import { type RefObject, useLayoutEffect, useState } from "react";

const SMALLEST = 280; // px
const BELOW = 16; // px
const PHONE_RAIL = 52; // px; the navigation at the bottom of narrow screens

// Returns the height of the window below the top of the element. It shrinks while a phone shows its
// keyboard.
export function useFillHeight(element: RefObject<HTMLElement | null>, fullWindow: boolean): number {
  const [height, setHeight] = useState(SMALLEST);
  useLayoutEffect(() => {
    const measure = () => {
      // A hidden element keeps its height.
      if (!element.current || element.current.clientWidth === 0) return;
      const room = window.visualViewport?.height ?? window.innerHeight;
      const top = element.current.getBoundingClientRect().top + window.scrollY;
      const rail = window.innerWidth <= 720 ? PHONE_RAIL : 0;
      setHeight(fullWindow ? room : Math.max(SMALLEST, Math.floor(room - top - rail - BELOW)));
    };
    measure();
    // Content above may grow by a line.
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    window.addEventListener("resize", measure);
    window.visualViewport?.addEventListener("resize", measure);
    return () => {
      observer.disconnect();
      window.removeEventListener("resize", measure);
      window.visualViewport?.removeEventListener("resize", measure);
    };
  }, [element, fullWindow]);
  return height;
}
