import { useInfiniteQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { auditQuery } from "@/api/audit";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Page } from "@/components/ui/page";
import styles from "@/features/audit/audit.module.css";
import { AuditFilterBar } from "@/features/audit/audit-filter-bar";
import { AuditList } from "@/features/audit/audit-list";
import { EntryDrawer } from "@/features/audit/entry-drawer";
import { ExportButton } from "@/features/audit/export-button";
import { useAuditAddress } from "@/features/audit/use-audit-filters";
import { useFormat } from "@/lib/use-format";
import { useSettled } from "@/lib/use-settled";

const COUNTED = 100_000; // entries; the gateway counts no further

export function AuditPage() {
  const { t } = useTranslation();
  const format = useFormat();
  const { shown, filters, isFiltered, entry, set, clear, open } = useAuditAddress();
  const settled = useSettled(filters);
  const { data, error, refetch, isRefetching, hasNextPage, isFetchingNextPage, fetchNextPage } =
    useInfiniteQuery(auditQuery(settled));
  const entries = data?.pages.flatMap(({ items }) => items) ?? [];
  const total = data?.pages[0]?.total ?? 0;
  const number = format.count(total);
  return (
    <Page
      title={t("audit.title")}
      tools={
        <>
          <Button loading={isRefetching && !isFetchingNextPage} onClick={() => void refetch()}>
            {t("audit.refresh")}
          </Button>
          <ExportButton filters={settled} />
        </>
      }
    >
      <p className={styles.hint}>{t("audit.hint")}</p>
      <AuditFilterBar shown={shown} onChange={set} />
      {error && <FailureNote error={error} onRetry={() => void refetch()} />}
      {!data && !error && (
        <div className={styles.placeholder} role="status" aria-label={t("loading")} />
      )}
      {data && entries.length === 0 && (
        <EmptyState
          icon="logs"
          title={t(isFiltered ? "audit.noMatchTitle" : "audit.emptyTitle")}
          text={t(isFiltered ? "audit.noMatchText" : "audit.emptyText")}
        >
          {isFiltered && <Button onClick={clear}>{t("audit.clear")}</Button>}
        </EmptyState>
      )}
      {entries.length > 0 && (
        <>
          <div className={styles.count} role="status">
            {total < COUNTED
              ? t("audit.count", { count: total, shown: number })
              : t("audit.countMore", { shown: number })}
            {isFiltered && (
              <Button size="small" type="text" onClick={clear}>
                {t("audit.clear")}
              </Button>
            )}
          </div>
          <AuditList entries={entries} onOpen={open} />
          {hasNextPage && (
            <Button type="text" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {t("audit.older")}
            </Button>
          )}
        </>
      )}
      {entry !== null && (
        <EntryDrawer
          key={entry}
          seq={entry}
          known={entries.find(({ seq }) => seq === entry)}
          onClose={() => open(null)}
          onFilter={(filter) => set(filter)}
        />
      )}
    </Page>
  );
}
