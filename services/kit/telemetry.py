"""Structured logs and traces.

Logs are one JSON object a line on standard error. Trace context travels in NATS
headers and gRPC metadata as W3C `traceparent`.
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
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

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
TRACES_SAMPLED = 0.01  # share; telemetry is many alike

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
        [structlog.dev.ConsoleRenderer()]
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
            # They repeat at info what the services say themselves.
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
        exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def traced(name: str) -> AbstractContextManager[object]:
    """A span, where one is open already or for one in a hundred.

    Asking the SDK each time, only to hear that this one is not sampled, took as long as
    parsing, checking and publishing a batch together.
    """
    if trace.get_current_span().get_span_context().is_valid or random.random() < TRACES_SAMPLED:  # noqa: S311
        return tracer.start_as_current_span(name)
    return nullcontext()


def trace_headers() -> dict[str, str]:
    """`traceparent` of the current span, or of a trace that nobody records."""
    headers: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        propagate.inject(headers)
    else:
        identity = os.urandom(24).hex()
        headers["traceparent"] = f"00-{identity[:32]}-{identity[32:]}-00"
    return headers
