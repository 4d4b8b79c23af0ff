import { cleanup, configure } from "@testing-library/react";
import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { afterEach, beforeEach, vi } from "vitest";
import en from "@/app/locales/en.json";
import pages from "@/app/locales/en-pages.json";

// jsdom has neither of these, and Ant Design asks for both.
class NoObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

beforeEach(() => {
  vi.stubGlobal("ResizeObserver", NoObserver);
  vi.stubGlobal("IntersectionObserver", NoObserver);
});

window.matchMedia = (media) =>
  ({
    media,
    matches: false,
    addEventListener: () => undefined,
    removeEventListener: () => undefined,
    addListener: () => undefined,
    removeListener: () => undefined,
  }) as unknown as MediaQueryList;

// jsdom cannot compute the style of pseudo-elements, which Ant Design asks for to measure scrollbars.
const { getComputedStyle } = window;
window.getComputedStyle = (element) => getComputedStyle(element);

// jsdom draws nothing, and prints an error when the terminal library asks for a canvas.
HTMLCanvasElement.prototype.getContext = () => null;

// The terminal's add-on for the width of emoji reads its table at the wrong place of a pooled
// buffer, which only Node has (xterm.js issue 6079).
Buffer.poolSize = 0;

// On a busy machine, tests may have to wait for a long time.
configure({ asyncUtilTimeout: 15_000 });

await i18next.use(initReactI18next).init({
  lng: "en",
  resources: { en: { translation: en } },
  interpolation: { escapeValue: false },
});
i18next.addResourceBundle("en", "translation", pages, true);

afterEach(cleanup);
