import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Input } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { useSession } from "@/api/session";
import { usersQuery } from "@/api/users";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import { Page } from "@/components/ui/page";
import table from "@/components/ui/people-table.module.css";
import { AddUser } from "@/features/users/add-user";
import { UserTable } from "@/features/users/user-table";
import styles from "@/features/users/users.module.css";

const TYPING_PAUSE = 250; // ms

export function UsersPage() {
  const { t } = useTranslation();
  const mayRead = useSession((session) => session.user?.role === "admin");
  return (
    <Page title={t("users.title")}>
      {mayRead ? (
        <Users />
      ) : (
        <EmptyState icon="lock" title={t("failure.forbidden.what")} text={t("users.adminsOnly")}>
          <Link to="/">{t("notFound.back")}</Link>
        </EmptyState>
      )}
    </Page>
  );
}

function Users() {
  const { t } = useTranslation();
  const [params, setParams] = useSearchParams();
  const search = params.get("search") ?? "";
  const [text, setText] = useState(search);
  const [adding, setAdding] = useState(false);
  useEffect(() => {
    if (text.trim() === search) return undefined;
    const timer = setTimeout(
      () => setParams(text.trim() ? { search: text.trim() } : {}, { replace: true }),
      TYPING_PAUSE,
    );
    return () => clearTimeout(timer);
  }, [text, search, setParams]);
  const { data, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    usersQuery(search),
  );
  const users = data?.pages.flatMap(({ items }) => items);
  return (
    <>
      <div className={styles.bar}>
        <Input
          allowClear
          className={styles.search ?? ""}
          prefix={<Icon name="search" size={14} />}
          placeholder={t("users.search")}
          aria-label={t("users.search")}
          maxLength={100}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        {data && (
          <span className={styles.count} role="status">
            {t("users.count", { count: data.pages[0]?.total ?? 0 })}
          </span>
        )}
        <Button type="primary" onClick={() => setAdding(true)}>
          {t("users.add")}
        </Button>
      </div>
      {error && <FailureNote error={error} onRetry={() => void refetch()} />}
      {!users && !error && (
        <div className={table.placeholder} role="status" aria-label={t("loading")} />
      )}
      {users?.length === 0 && <p className={styles.nothing}>{t("users.nothing")}</p>}
      {users && users.length > 0 && <UserTable users={users} />}
      {hasNextPage && (
        <Button
          type="text"
          className={styles.more ?? ""}
          loading={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
        >
          {t("users.more")}
        </Button>
      )}
      {adding && <AddUser onClose={() => setAdding(false)} />}
    </>
  );
}
