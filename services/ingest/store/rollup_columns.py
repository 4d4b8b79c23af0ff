"""The SQL expressions that fill the columns of the rollup tiers."""

from typing import LiteralString

from psycopg import sql

from services.kit.metrics.tiers import (
    COUNTERS,
    GAUGES,
    MINUTE,
    SPIKY,
    TOTALS,
    Aggregate,
    Tier,
    column,
    has,
)


def _named(template: LiteralString, **names: str) -> sql.Composed:
    return sql.SQL(template).format(**{key: sql.Identifier(name) for key, name in names.items()})


def _real(number: LiteralString) -> LiteralString:
    """Return SQL that casts a double to a real.

    A double that is too small for a real would make the statement fail for all servers, so it
    becomes 0.
    """
    return "(CASE WHEN abs(" + number + ") < 1e-37 THEN 0 ELSE " + number + " END)::real"


def columns(tier: Tier) -> list[str]:
    """Return the tier's columns except the primary key."""
    columns = ["samples", *(["seconds"] if tier is MINUTE else []), *COUNTERS, *TOTALS]
    for metric in GAUGES:
        columns.append(metric)
        columns += [column(metric, kind) for kind in Aggregate if has(tier, metric, kind)]
    return columns


# Second within the minute; the column `seconds` has a bit for each second that has a sample.
SECOND = "floor(date_part('second', p.time))::integer"


# Seconds that a minute `s` stands for among the minutes of its coarse bucket, the window `w`. The
# bits of `seconds` show the first and the last second with a sample. The minute stands for the time
# between them and one interval more. A minute with one sample stands for the time until the next
# minute with a sample, or until the end of the bucket, but for at most five minutes, because there
# may have been an outage.
_WEIGHT: LiteralString = """
    CASE WHEN s.samples = 1
        THEN least(300, extract(epoch FROM
            coalesce(lead(s.time) OVER w, time_bucket(%(width)s, s.time) + %(width)s) - s.time))
        ELSE (
            SELECT CASE WHEN b.seen < 2 THEN 1
                ELSE least(60, (b.last - b.first) * b.seen / (b.seen - 1.0)) END
            FROM (
                SELECT bit_count(s.seconds::bit(64)) AS seen,
                    64 - position('1' IN s.seconds::bit(64)::text) AS last,
                    position('1' IN reverse(s.seconds::bit(64)::text)) - 1 AS first
            ) b
        )
    END::float8
"""


def source_columns(tier: Tier) -> sql.Composable:
    """Return the select list of the rows `s` from which a bucket is computed."""
    return sql.SQL("*") if tier is MINUTE else sql.SQL("*, " + _WEIGHT + " AS weight")


def aggregates(tier: Tier) -> sql.Composed:
    """Return the select list of a bucket: from samples for a minute, else from minutes."""
    return _minute_aggregates() if tier is MINUTE else _coarse_aggregates()


def _minute_aggregates() -> sql.Composed:
    """Return the select list that computes a minute's columns from its samples `p`."""
    parts: list[sql.Composable] = [
        sql.SQL("count(*)::integer AS samples, bit_or(1::bigint << " + SECOND + ") AS seconds")
    ]
    parts += [_named("max(p.{name}) AS {name}", name=name) for name in COUNTERS]
    parts += [_named("max(p.{name})::real AS {name}", name=name) for name in TOTALS]
    for name in GAUGES:
        parts.append(_named(_real("avg(p.{name}::float8)") + " AS {name}", name=name))
        parts += [
            _named(f"{kind}(p.{{name}})::real AS {{to}}", name=name, to=column(name, kind))
            for kind in (Aggregate.MIN, Aggregate.MAX)
            if has(MINUTE, name, kind)
        ]
    return sql.SQL(", ").join(parts)


def _coarse_aggregates() -> sql.Composed:
    """Return the select list that computes a coarse bucket's columns from its minutes `p`.

    The weight of a minute is the time that it stands for, not its number of samples, because the
    interval between samples may change within a bucket.
    """
    parts: list[sql.Composable] = [sql.SQL("sum(p.samples)::integer AS samples")]
    parts += [_named("max(p.{name}) AS {name}", name=name) for name in (*COUNTERS, *TOTALS)]
    for name in GAUGES:
        parts.append(
            _named(
                _real(
                    "(sum(p.{name}::float8 * p.weight)"
                    " / sum(p.weight) FILTER (WHERE p.{name} IS NOT NULL))"
                )
                + " AS {name}",
                name=name,
            )
        )
        for kind in (Aggregate.MIN, Aggregate.MAX):
            source = column(name, kind) if has(MINUTE, name, kind) else name
            parts.append(
                _named(f"{kind}(p.{{name}}) AS {{to}}", name=source, to=column(name, kind))
            )
        if name in SPIKY:
            parts.append(
                _named(
                    _real("percentile_cont(0.95) WITHIN GROUP (ORDER BY p.{name})") + " AS {to}",
                    name=name,
                    to=column(name, Aggregate.P95),
                )
            )
    return sql.SQL(", ").join(parts)


def replaced(tier: Tier) -> sql.Composed:
    return sql.SQL(", ").join(
        [_named("{name} = excluded.{name}", name=name) for name in columns(tier)]
    )


def merged() -> sql.Composed:
    """Return assignments that add further samples (`excluded`) to an existing minute (`t`)."""
    parts: list[sql.Composable] = [
        sql.SQL("samples = t.samples + excluded.samples, seconds = t.seconds | excluded.seconds")
    ]
    parts += [
        _named("{name} = greatest(t.{name}, excluded.{name})", name=name)
        for name in (*COUNTERS, *TOTALS)
    ]
    for name in GAUGES:
        parts.append(
            _named(
                "{name} = CASE WHEN t.{name} IS NULL THEN excluded.{name}"
                " WHEN excluded.{name} IS NULL THEN t.{name}"
                " ELSE "
                + _real(
                    "((t.{name}::float8 * t.samples + excluded.{name}::float8 * excluded.samples)"
                    " / (t.samples + excluded.samples))"
                )
                + " END",
                name=name,
            )
        )
        parts += [
            _named(f"{{name}} = {function}(t.{{name}}, excluded.{{name}})", name=column(name, kind))
            for kind, function in ((Aggregate.MIN, "least"), (Aggregate.MAX, "greatest"))
            if has(MINUTE, name, kind)
        ]
    return sql.SQL(", ").join(parts)
