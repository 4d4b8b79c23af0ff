import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState } from "react";
import type { Vps } from "@/api/vps";
import { MOST_CARDS } from "@/features/fleet/card-queries";
import styles from "@/features/fleet/fleet.module.css";
import { ServerCard } from "@/features/fleet/server-card";

const VIRTUAL_ABOVE = 100; // cards
const CARD_WIDTH = 318; // px, at least
const GAP = 12; // px
const ROW_HEIGHT = 188; // px, card and gap, before it is measured

export function ServerCards({ servers }: { servers: readonly Vps[] }) {
  if (servers.length > VIRTUAL_ABOVE) return <VirtualCards servers={servers} />;
  return (
    <ul className={styles.cards}>
      {servers.map((vps) => (
        <li key={vps.id}>
          <ServerCard vps={vps} asks={servers.length <= MOST_CARDS} />
        </li>
      ))}
    </ul>
  );
}

function VirtualCards({ servers }: { servers: readonly Vps[] }) {
  const box = useRef<HTMLUListElement>(null);
  const [columns, setColumns] = useState(1);
  const [top, setTop] = useState(0);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => {
      setColumns(Math.max(1, Math.floor((element.clientWidth + GAP) / (CARD_WIDTH + GAP))));
      setTop(element.getBoundingClientRect().top + window.scrollY);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const rows = useWindowVirtualizer({
    count: Math.ceil(servers.length / columns),
    estimateSize: () => ROW_HEIGHT,
    overscan: 2,
    scrollMargin: top,
  });

  return (
    <ul ref={box} style={{ position: "relative", height: rows.getTotalSize() }}>
      {rows.getVirtualItems().map((row) => (
        <li
          key={row.key}
          ref={rows.measureElement}
          data-index={row.index}
          className={styles.row}
          style={{
            gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
            transform: `translateY(${row.start - top}px)`,
          }}
        >
          {servers.slice(row.index * columns, (row.index + 1) * columns).map((vps) => (
            <ServerCard key={vps.id} vps={vps} asks={false} />
          ))}
        </li>
      ))}
    </ul>
  );
}
