"""Structured logs and traces.

Logs are written to standard error, one JSON object per line. The trace context is passed on as
W3C `traceparent` in NATS headers and gRPC metadata.
"""

import logging
import logging.config
import os
import random
from collections.abc import MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import structlog
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from services.kit.extras import needs_extra, resolve
from services.kit.settings import Settings

SECRET_KEYS = frozenset(
    {
        "authorization",
        "cookie",
        "key",
        "password",
        "proof",
        "secret",
        "signature",
        "ticket",
        "token",
    }
)
EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter"
TRACES_SAMPLED = 0.01  # share of new traces that are recorded; most messages are similar

Event = MutableMapping[str, Any]

tracer = trace.get_tracer(__name__)


def _redact(_logger: object, _method: str, event: Event) -> Event:
    for key in event:
        if key in SECRET_KEYS or key.rpartition("_")[2] in SECRET_KEYS:
            event[key] = "…"
    return event


def _add_trace(_logger: object, _method: str, event: Event) -> Event:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
    return event


def configure(settings: Settings, *, service: str) -> None:
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_trace,
        _redact,
    ]
    renderer: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if settings.log_format == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": settings.log_level.upper()},
            # Their info lines repeat those of the services.
            "loggers": {name: {"level": "WARNING"} for name in ("nats", "httpx", "uvicorn")},
        }
    )
    structlog.contextvars.bind_contextvars(service=service)
    _configure_traces(settings, service)


def _configure_traces(settings: Settings, service: str) -> None:
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"flotilla-{service}"}),
        sampler=ParentBased(ALWAYS_ON),
    )
    if settings.otlp_endpoint is not None:
        # Loaded on demand: it takes several MB, and most installations have no collector.
        with needs_extra("FLOTILLA_OTLP_ENDPOINT", "traces"):
            exporter = resolve(EXPORTER)
        endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(exporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)


def traced(name: str) -> AbstractContextManager[object]:
    """Return a span if one is already open, or for one of a hundred calls; otherwise a null context.

    The SDK's own sampling decision takes as long as parsing, checking and publishing a batch.
    """
    if trace.get_current_span().get_span_context().is_valid or random.random() < TRACES_SAMPLED:  # noqa: S311
        return tracer.start_as_current_span(name)
    return nullcontext()


def trace_headers() -> dict[str, str]:
    """Return the `traceparent` of the current span, or of a new trace that is not recorded."""
    headers: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(headers)
    else:
        identity = os.urandom(24).hex()
        headers["traceparent"] = f"00-{identity[:32]}-{identity[32:]}-00"
    return headers
