import type { SVGProps } from "react";

// Icons of 24 × 24, stroked in the current colour. They are decoration: a text beside each one says
// what it means.
const PATHS = {
  mark: "M3 17l9 4 9-4M6 14V7l6-4v9M14 12V6l5 6z",
  fleet: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M6 15v4",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5",
  plus: "M12 5v14M5 12h14",
  logOut: "M14 4H6v16h8M10 12h10M17 9l3 3-3 3",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8",
  language: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  server: "M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.01M7.5 16h.01",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7.5",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M5 20c1-4 4-5 7-5s6 1 7 5",
  play: "M7 5l12 7-12 7z",
  stop: "M6 6h12v12H6z",
  restart: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4L20 9M20 4v5h-5",
  pause: "M8 5v14M16 5v14",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  container: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  image: "M4 8l8-4 8 4-8 4zM4 12l8 4 8-4M4 16l8 4 8-4",
  logs: "M5 5h14M5 10h9M5 15h14M5 20h6",
  terminal: "M4 5h16v14H4zM7.5 9.5l3 2.5-3 2.5M12.5 15h4",
  folder: "M3 6h6l2 2.5h10V19H3z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  upload: "M12 16V4M7 9l5-5 5 5M4 20h16",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  pencil: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  close: "M6 6l12 12M18 6L6 18",
  left: "M15 5l-7 7 7 7",
  up: "M12 19V6M6 12l6-6 6 6",
  audit: "M12 3l7 3v5c0 5-3 8.5-7 10-4-1.5-7-5-7-10V6zM8.5 12l2.5 2.5 4.5-5",
  lock: "M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3",
  wrap: "M4 6h16M4 12h13a3 3 0 0 1 0 6h-5M14 15l-3 3 3 3M4 18h3",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
  expand: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  shrink: "M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5",
  debian:
    "M13.6 13.2c-1.9.9-3.8-.5-3.6-2.5.3-2.4 3.2-3.7 5.4-2.3 2.8 1.8 2.7 6.2-.1 8.3-3.6 2.6-8.8.2-9.6-4.3C4.9 7.5 9 3.2 14 3.6M9.5 18.5c.8 1.2 1.8 2 3 2.5",
  ubuntu:
    "M12 5.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M12 3.2a1.7 1.7 0 1 0 0 3.4 1.7 1.7 0 0 0 0-3.4M6.2 13.6a1.7 1.7 0 1 0 0 3.4 1.7 1.7 0 0 0 0-3.4M17.8 13.6a1.7 1.7 0 1 0 0 3.4 1.7 1.7 0 0 0 0-3.4",
  alpine: "M2.5 18l7-11 4 6M11 18l5-8 5.5 8M8 12.5l2 2",
  rocky: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17M4.5 16l6-6 3.2 3.2M9 19.8l6.5-6.5 4 4",
  linux: "M4 5h16v14H4zM7.5 9.5l3 2.5-3 2.5M12.5 15h4",
} as const;

export type IconName = keyof typeof PATHS;

interface Props extends SVGProps<SVGSVGElement> {
  name: IconName;
  size?: number;
}

export function Icon({ name, size = 18, ...rest }: Props) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.6}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      {...rest}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
