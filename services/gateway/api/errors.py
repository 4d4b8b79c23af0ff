"""Errors of requests, each with a problem type. `problems` turns them into answers."""

from collections.abc import Mapping
from datetime import timedelta

from services.gateway.api.problem_types import KINDS, ProblemType
from services.kit.errors import FlotillaError


class RequestError(FlotillaError):
    """Refusal of a request: its problem type, what happened, and the wrong fields."""

    def __init__(
        self,
        type_: ProblemType,
        detail: str,
        *,
        fields: tuple[str, ...] = (),
        retry_after: int = 0,
        members: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(detail)
        self.type = type_
        self.status = KINDS[type_].status
        self.fields = fields
        self.members = members or {}
        """Further members of the problem document."""
        self.retry_after = retry_after or KINDS[type_].retry_after  # seconds; 0 for none


def unauthenticated(detail: str) -> RequestError:
    return RequestError(ProblemType.UNAUTHENTICATED, detail)


def second_factor_required(challenge: str, lifetime: timedelta) -> RequestError:
    """Return the answer to a log-in whose password is right and whose code is missing."""
    return RequestError(
        ProblemType.SECOND_FACTOR_REQUIRED,
        "This account has a second factor. Send `challenge` and a code to"
        " `POST /api/v1/auth/login/factor`.",
        members={"challenge": challenge, "expires_in": int(lifetime.total_seconds())},
    )


def forbidden(detail: str = "Your role does not allow this.") -> RequestError:
    return RequestError(ProblemType.FORBIDDEN, detail)


def not_found() -> RequestError:
    # Both cases get the same text, so that it does not reveal which ids exist.
    return RequestError(
        ProblemType.NOT_FOUND,
        "The requested object does not exist or belongs to another user. Check the id.",
    )


def invalid(detail: str, *fields: str) -> RequestError:
    """Return an error for wrong values; `fields` are the names of the wrong fields."""
    return RequestError(ProblemType.VALIDATION, detail, fields=fields)


def throttled(seconds: int) -> RequestError:
    return RequestError(
        ProblemType.TOO_MANY_ATTEMPTS,
        f"There were too many failed attempts. Try again in {seconds} s.",
        retry_after=seconds,
    )


def busy(detail: str) -> RequestError:
    return RequestError(ProblemType.BUSY, detail)


def ended(detail: str) -> RequestError:
    return RequestError(ProblemType.ALREADY_ENDED, detail)
