"""What a request can run into; `problems` turns each into an answer."""

from services.kit.errors import FlotillaError


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
