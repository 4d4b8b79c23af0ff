import { useQuery } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState } from "react";
import { overviewQuery, type ServerOverview } from "@/api/overview";
import type { Vps } from "@/api/vps";
import { ServerCard } from "@/features/fleet/server-card";
import styles from "@/features/fleet/server-cards.module.css";

const VIRTUAL_ABOVE = 100; // cards
const CARD_WIDTH = 318; // px; minimum
const GAP = 12; // px
const ROW_HEIGHT = 188; // px; estimate for card and gap

export function ServerCards({ servers }: { servers: readonly Vps[] }) {
  const { data: overviews } = useQuery(overviewQuery());
  if (servers.length > VIRTUAL_ABOVE)
    return <VirtualCards servers={servers} overviews={overviews} />;
  return (
    <ul className={styles.cards}>
      {servers.map((vps) => (
        <li key={vps.id}>
          <ServerCard vps={vps} overview={overviews?.get(vps.id)} />
        </li>
      ))}
    </ul>
  );
}

interface VirtualProps {
  servers: readonly Vps[];
  overviews: ReadonlyMap<string, ServerOverview> | undefined;
}

function VirtualCards({ servers, overviews }: VirtualProps) {
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
            <ServerCard key={vps.id} vps={vps} overview={overviews?.get(vps.id)} />
          ))}
        </li>
      ))}
    </ul>
  );
}
