"""What a request can run into; `problems` turns each into an answer."""

from flotilla.v1.command_pb2 import CommandResponse
from services.kit.errors import FlotillaError

MAX_REASON = 500  # characters of what an agent says

# What a command fails with → the status that a request is told, and the title.
_FAILURES = {
    CommandResponse.FAILURE_FORBIDDEN: (403, "Not allowed there"),
    CommandResponse.FAILURE_NOT_FOUND: (404, "Not found there"),
    CommandResponse.FAILURE_CONFLICT: (409, "In conflict"),
    CommandResponse.FAILURE_INVALID: (422, "Not acceptable"),
    CommandResponse.FAILURE_TOO_LARGE: (413, "Too large"),
    CommandResponse.FAILURE_BUSY: (429, "Busy"),
    CommandResponse.FAILURE_UNAVAILABLE: (503, "Not available there"),
}
_STATUSES = {
    CommandResponse.STATUS_TIMED_OUT: (504, "Timed out"),
    CommandResponse.STATUS_CANCELLED: (409, "Cancelled"),
}
BUSY_RETRY = 2  # seconds


class RequestError(FlotillaError):
    """A request is refused: the status it is told, and why."""

    def __init__(self, status: int, title: str, detail: str, *, retry_after: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.retry_after = retry_after  # seconds; 0 for none


def unauthenticated(detail: str) -> RequestError:
    return RequestError(401, "Not logged in", detail)


def forbidden() -> RequestError:
    return RequestError(403, "Not allowed", "Your role does not allow this.")


def not_found() -> RequestError:
    # The same for what does not exist and what is somebody else's.
    return RequestError(404, "Not found", "There is no such thing, or it is not yours.")


def invalid(detail: str) -> RequestError:
    return RequestError(422, "Not acceptable", detail)


def throttled(seconds: int) -> RequestError:
    return RequestError(429, "Too many attempts", f"Try again in {seconds} s.", retry_after=seconds)


def busy(detail: str) -> RequestError:
    return RequestError(429, "Busy", detail, retry_after=BUSY_RETRY)


def conflict(title: str, detail: str) -> RequestError:
    return RequestError(409, title, detail)


def offline() -> RequestError:
    return RequestError(409, "Offline", "The server is offline. Nothing was done.")


def unanswered() -> RequestError:
    return RequestError(
        503,
        "No answer",
        "The server did not answer. Whether it was done is not known: look before you try again.",
    )


def unkept() -> RequestError:
    return RequestError(
        503,
        "Not kept",
        "It was done, but the database does not answer. When it does, what came of it is there.",
    )


def failed_there(
    failure: CommandResponse.Failure.ValueType,
    status: CommandResponse.Status.ValueType,
    reason: str,
) -> RequestError:
    """What an agent refused, or could not do."""
    code, title = _FAILURES.get(failure) or _STATUSES.get(status) or (502, "Failed there")
    return RequestError(
        code, title, reason[:MAX_REASON], retry_after=BUSY_RETRY if code == 429 else 0
    )
