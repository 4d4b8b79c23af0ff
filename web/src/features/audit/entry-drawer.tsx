import { useQuery } from "@tanstack/react-query";
import { Button, Drawer } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { type AuditEntry, auditEntryQuery } from "@/api/audit";
import { CopyButton } from "@/components/ui/copy-button";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/audit/audit.module.css";
import { nameOf, sentenceOf } from "@/features/audit/entry-texts";
import { OutcomeMark } from "@/features/audit/outcome-mark";
import type { ShownFilters } from "@/features/audit/use-audit-filters";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

interface Props {
  seq: number;
  // The entry, if the list has it.
  known: AuditEntry | undefined;
  onClose: () => void;
  onFilter: (filter: Partial<ShownFilters>) => void;
}

export function EntryDrawer({ seq, known, onClose, onFilter }: Props) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({ ...auditEntryQuery(seq), enabled: !known });
  const entry = known ?? data;
  return (
    <Drawer
      open
      size="min(560px, 100vw)"
      title={t("audit.entry.title", { seq })}
      onClose={onClose}
      styles={{ body: { padding: "16px 18px" } }}
    >
      {error && !entry && <FailureNote error={error} onRetry={() => void refetch()} />}
      {entry === null && <p>{t("audit.entry.missing")}</p>}
      {entry && <EntryDetails entry={entry} onFilter={onFilter} />}
    </Drawer>
  );
}

function EntryDetails({ entry, onFilter }: { entry: AuditEntry } & Pick<Props, "onFilter">) {
  const { t } = useTranslation();
  const format = useFormat();
  const instant = (time: string) => format.instant(Date.parse(time) / 1000);
  const server = entry.object_name && entry.object.startsWith("vps:") && entry.object.slice(4);
  return (
    <div className={styles.entry}>
      <p className={styles.headline}>{sentenceOf(entry, t)}</p>
      <dl>
        <Fact name="result">
          <OutcomeMark entry={entry} />
        </Fact>
        {entry.reason && <Fact name="reason">{escapeInvisible(entry.reason)}</Fact>}
        <Fact name="time">
          <time dateTime={entry.time}>{instant(entry.time)}</time>
        </Fact>
        <Fact name="storedAt">
          <time dateTime={entry.stored_at}>{instant(entry.stored_at)}</time>
        </Fact>
        <Fact name="actor">
          {nameOf(entry.actor, entry.username, t)} <Code text={entry.actor} />
          <Button size="small" onClick={() => onFilter({ actor: entry.actor })}>
            {t("audit.entry.ofActor")}
          </Button>
        </Fact>
        <Fact name="action">
          <Code text={entry.action} />
        </Fact>
        {entry.object && (
          <Fact name="object">
            {nameOf(entry.object, entry.object_name, t)} <Code text={entry.object} />
            <Button size="small" onClick={() => onFilter({ object: entry.object })}>
              {t("audit.entry.ofObject")}
            </Button>
            {server && <Link to={`/servers/${server}`}>{t("audit.entry.server")}</Link>}
          </Fact>
        )}
        {entry.detail && (
          <Fact name="detail">
            <Code text={entry.detail} />
          </Fact>
        )}
        {entry.peer && (
          <Fact name="peer">
            <Code text={entry.peer} />
          </Fact>
        )}
        <Fact name="id">
          <Code text={entry.id} />
        </Fact>
        <Fact name="hash">
          <Code text={entry.hash} />
          <CopyButton label={t("action.copy")} text={() => `${entry.seq}:${entry.hash}`} />
          <small>{t("audit.entry.hashHint")}</small>
        </Fact>
      </dl>
    </div>
  );
}

type FactName =
  | "result"
  | "reason"
  | "time"
  | "storedAt"
  | "actor"
  | "action"
  | "object"
  | "detail"
  | "peer"
  | "id"
  | "hash";

function Fact({ name, children }: { name: FactName; children: ReactNode }) {
  const { t } = useTranslation();
  return (
    <div>
      <dt>{t(`audit.entry.${name}`)}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Code({ text }: { text: string }) {
  return <code>{escapeInvisible(text)}</code>;
}
