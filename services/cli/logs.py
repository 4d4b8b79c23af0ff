import logging
import sys

import structlog


def configure() -> None:
    """Log warnings to standard error: standard output is for the command's result."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
