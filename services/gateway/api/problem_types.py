"""Problems that the API reports: a stable `type`, a status and a title for each.

Clients decide by `type`. Titles and details are for people and may change at any time.
"""

from dataclasses import dataclass
from enum import StrEnum

PATH = "/problems"


class ProblemType(StrEnum):
    """The `type` of a problem document (RFC 9457): a URI reference that resolves to its meaning."""

    MALFORMED_REQUEST = f"{PATH}/malformed-request"
    VALIDATION = f"{PATH}/validation"
    PAYLOAD_TOO_LARGE = f"{PATH}/payload-too-large"
    UNSUPPORTED_MEDIA_TYPE = f"{PATH}/unsupported-media-type"
    METHOD_NOT_ALLOWED = f"{PATH}/method-not-allowed"
    REQUEST_TIMEOUT = f"{PATH}/request-timeout"
    RANGE_NOT_SATISFIABLE = f"{PATH}/range-not-satisfiable"
    HEADERS_TOO_LARGE = f"{PATH}/headers-too-large"

    UNAUTHENTICATED = f"{PATH}/unauthenticated"
    WRONG_CREDENTIALS = f"{PATH}/wrong-credentials"
    SECOND_FACTOR_REQUIRED = f"{PATH}/second-factor-required"
    WRONG_CODE = f"{PATH}/wrong-code"
    INVALID_TICKET = f"{PATH}/invalid-ticket"
    FORBIDDEN = f"{PATH}/forbidden"
    NOT_FOUND = f"{PATH}/not-found"

    ALREADY_ENDED = f"{PATH}/already-ended"
    ALREADY_EXISTS = f"{PATH}/already-exists"
    LIMIT_REACHED = f"{PATH}/limit-reached"
    STILL_NEEDED = f"{PATH}/still-needed"
    INVALID_INVITATION = f"{PATH}/invalid-invitation"
    FILE_CHANGED = f"{PATH}/file-changed"
    FILE_NOT_TEXT = f"{PATH}/file-not-text"
    FILE_TOO_LARGE_TO_EDIT = f"{PATH}/file-too-large-to-edit"
    UPLOAD_BYTES_MISSING = f"{PATH}/upload-bytes-missing"
    UPLOAD_TOO_LONG = f"{PATH}/upload-too-long"

    TOO_MANY_ATTEMPTS = f"{PATH}/too-many-attempts"
    BUSY = f"{PATH}/busy"

    AGENT_OFFLINE = f"{PATH}/agent-offline"
    AGENT_UNANSWERED = f"{PATH}/agent-unanswered"
    AGENT_FORBIDDEN = f"{PATH}/agent-forbidden"
    AGENT_NOT_FOUND = f"{PATH}/agent-not-found"
    AGENT_CONFLICT = f"{PATH}/agent-conflict"
    AGENT_INVALID = f"{PATH}/agent-invalid"
    AGENT_TOO_LARGE = f"{PATH}/agent-too-large"
    AGENT_BUSY = f"{PATH}/agent-busy"
    AGENT_UNAVAILABLE = f"{PATH}/agent-unavailable"
    AGENT_TIMED_OUT = f"{PATH}/agent-timed-out"
    AGENT_CANCELLED = f"{PATH}/agent-cancelled"
    AGENT_FAILED = f"{PATH}/agent-failed"

    AUDIT_UNAVAILABLE = f"{PATH}/audit-unavailable"
    DEPENDENCY_UNAVAILABLE = f"{PATH}/dependency-unavailable"
    INTERNAL_ERROR = f"{PATH}/internal-error"


@dataclass(frozen=True, slots=True)
class Kind:
    """The common properties of all problems of one type."""

    status: int
    title: str
    meaning: str
    action: str
    """Advice for the client."""
    retry_after: int = 0
    """Seconds, for the `Retry-After` header; 0 for none."""


KINDS = {
    ProblemType.MALFORMED_REQUEST: Kind(
        400,
        "Bad Request",
        "The body is not valid JSON, is nested too deeply, or the request cannot be read.",
        "Correct the request.",
    ),
    ProblemType.VALIDATION: Kind(
        422,
        "Unprocessable Content",
        "A field or a query parameter is missing, unknown or wrong; `errors` lists them.",
        "Correct the fields in `errors`.",
    ),
    ProblemType.PAYLOAD_TOO_LARGE: Kind(
        413,
        "Content Too Large",
        "The body is larger than the limit, or larger than the size that was announced.",
        "Send a smaller body, or announce the right size.",
    ),
    ProblemType.UNSUPPORTED_MEDIA_TYPE: Kind(
        415,
        "Unsupported Media Type",
        "The body has a media type that this address does not accept.",
        "Send the media type given in `detail`.",
    ),
    ProblemType.METHOD_NOT_ALLOWED: Kind(
        405,
        "Method Not Allowed",
        "The address does not support this method.",
        "Use a method from the `Allow` header.",
    ),
    ProblemType.REQUEST_TIMEOUT: Kind(
        408,
        "Request Timeout",
        "The client sent no data for too long.",
        "Try again. An upload with an `upload_id` continues where it stopped.",
    ),
    ProblemType.RANGE_NOT_SATISFIABLE: Kind(
        416,
        "Range Not Satisfiable",
        "The file has no bytes in the requested range.",
        "Request a range within the size given in `Content-Range`.",
    ),
    ProblemType.HEADERS_TOO_LARGE: Kind(
        431,
        "Request Header Fields Too Large",
        "The request line and the headers have more than 64 KiB; those of a WebSocket have a line of"
        " more than 8 KiB, or more than 128 lines.",
        "Send less, for example fewer cookies.",
    ),
    ProblemType.UNAUTHENTICATED: Kind(
        401,
        "Unauthorized",
        "The access token or the session is missing, invalid or expired.",
        "Renew the access token, or log in again.",
    ),
    ProblemType.WRONG_CREDENTIALS: Kind(
        401,
        "Wrong user name or password",
        "The user name or the password is wrong, or the account is disabled.",
        "Correct the user name and the password.",
    ),
    ProblemType.SECOND_FACTOR_REQUIRED: Kind(
        401,
        "Second factor required",
        "The password is right, and the account has a second factor. `challenge` is valid for"
        " `expires_in` seconds.",
        "Send `challenge` and a code to `POST /api/v1/auth/login/factor`.",
    ),
    ProblemType.WRONG_CODE: Kind(
        401,
        "Wrong code",
        "The code of the second factor is wrong, or it was used before.",
        "Send the next code of the authenticator app, or a recovery code.",
    ),
    ProblemType.INVALID_TICKET: Kind(
        401,
        "Ticket is not valid",
        "The ticket is missing, expired, already used, or valid for another address only.",
        "Create a new ticket for this address.",
    ),
    ProblemType.FORBIDDEN: Kind(
        403,
        "Forbidden",
        "The account is not allowed to do this.",
        "Ask an administrator of this console.",
    ),
    ProblemType.NOT_FOUND: Kind(
        404,
        "Not Found",
        "The requested object does not exist or belongs to another user.",
        "Check the address and the id.",
    ),
    ProblemType.ALREADY_ENDED: Kind(
        409,
        "Already ended",
        "The run or the terminal has ended.",
        "Read its result, or start a new one.",
    ),
    ProblemType.ALREADY_EXISTS: Kind(
        409,
        "Already exists",
        "A file with this path, or an object with this name, already exists.",
        "Choose another path or name, or send `overwrite=true` for a file.",
    ),
    ProblemType.LIMIT_REACHED: Kind(
        409,
        "Limit reached",
        "The account or the organisation has as many of these objects as it may have.",
        "Delete one that is no longer needed.",
    ),
    ProblemType.STILL_NEEDED: Kind(
        409,
        "Still needed",
        "The object cannot be removed or changed: it is the last administrator, the only owner of an"
        " organisation, an organisation with servers, or a channel of an alert rule.",
        "Do first what `detail` says.",
    ),
    ProblemType.INVALID_INVITATION: Kind(
        403,
        "Invitation is not valid",
        "The invitation does not exist, has expired, was already used, or is for another address.",
        "Ask for a new invitation.",
    ),
    ProblemType.FILE_CHANGED: Kind(
        409,
        "File changed",
        "The file changed while it was being read.",
        "Read the file again.",
    ),
    ProblemType.FILE_NOT_TEXT: Kind(
        422,
        "File is not text",
        "The file is not UTF-8 text, so it cannot be edited.",
        "Download the file.",
    ),
    ProblemType.FILE_TOO_LARGE_TO_EDIT: Kind(
        413,
        "File is too large to edit",
        "The file is larger than the limit for editing.",
        "Download the file, edit it, and upload it.",
    ),
    ProblemType.UPLOAD_BYTES_MISSING: Kind(
        409,
        "Upload has a gap",
        "Some bytes before `offset` have not arrived.",
        "Get the number of bytes that arrived, and continue the upload from there.",
    ),
    ProblemType.UPLOAD_TOO_LONG: Kind(
        409,
        "Upload is longer than its size",
        "More bytes of this upload arrived than `size` allows.",
        "Start a new upload with another `upload_id`.",
    ),
    ProblemType.TOO_MANY_ATTEMPTS: Kind(
        429,
        "Too many attempts",
        "There were too many failed attempts to log in or to confirm a change.",
        "Wait for the number of seconds in `Retry-After`.",
    ),
    ProblemType.BUSY: Kind(
        429,
        "Console is busy",
        "Flotilla has reached one of its limits.",
        "Wait for the number of seconds in `Retry-After`, and try again.",
        retry_after=2,
    ),
    ProblemType.AGENT_OFFLINE: Kind(
        409,
        "Server is offline",
        "The server's agent is not connected.",
        "Try again when the server is online.",
    ),
    ProblemType.AGENT_UNANSWERED: Kind(
        503,
        "Server did not answer",
        "The agent did not answer, so it is not known whether the action was carried out.",
        "Check whether the action was carried out before you try again.",
    ),
    ProblemType.AGENT_FORBIDDEN: Kind(
        403,
        "Server does not allow this",
        "The policy on the server, or its operating system, does not allow this.",
        "Change the policy on the server.",
    ),
    ProblemType.AGENT_NOT_FOUND: Kind(
        404,
        "Not found on the server",
        "The file, container, image or process does not exist on the server.",
        "Refresh the view, and check the name.",
    ),
    ProblemType.AGENT_CONFLICT: Kind(
        409,
        "Conflict on the server",
        "The file or container already exists, has changed, or is in a state that does not allow"
        " this.",
        "Refresh the view, and check the current state.",
    ),
    ProblemType.AGENT_INVALID: Kind(
        422,
        "Server rejected the request",
        "The agent, or a program on the server, does not accept the values.",
        "Correct the values named in `detail`.",
    ),
    ProblemType.AGENT_TOO_LARGE: Kind(
        413,
        "Too large for the server",
        "The request or its answer is larger than the limit of the agent.",
        "Request less data.",
    ),
    ProblemType.AGENT_BUSY: Kind(
        429,
        "Server is busy",
        "The agent is already running its maximum number of commands.",
        "Wait for the number of seconds in `Retry-After`, and try again.",
        retry_after=2,
    ),
    ProblemType.AGENT_UNAVAILABLE: Kind(
        503,
        "Not available on the server",
        "Something that the command needs does not work on the server. For example, Docker does not"
        " answer, or a disk is full.",
        "Repair the cause on the server, and try again.",
    ),
    ProblemType.AGENT_TIMED_OUT: Kind(
        504,
        "Timed out on the server",
        "The command took too long, so the agent stopped it.",
        "Check whether the action was carried out before you try again.",
    ),
    ProblemType.AGENT_CANCELLED: Kind(
        409,
        "Cancelled",
        "The command was cancelled.",
        "Run the command again if you still need it.",
    ),
    ProblemType.AGENT_FAILED: Kind(
        502,
        "Failed on the server",
        "The agent could not complete the action.",
        "Fix the cause in `detail`, and try again.",
    ),
    ProblemType.AUDIT_UNAVAILABLE: Kind(
        503,
        "Audit log is not available",
        "The audit entry of the action could not be stored, so nothing was done.",
        "Try again. If the problem continues, check the message bus and its disk.",
        retry_after=5,
    ),
    ProblemType.DEPENDENCY_UNAVAILABLE: Kind(
        503,
        "Service Unavailable",
        "The database, the message bus or another service of this installation does not answer.",
        "Try again. If the problem continues, check the installation.",
        retry_after=5,
    ),
    ProblemType.INTERNAL_ERROR: Kind(
        500,
        "Internal Server Error",
        "The console has a fault. Its log has the id of the request.",
        "Report the problem with the id of the request.",
    ),
}

# Types of errors that the framework raises before a handler runs.
OF_STATUS = {
    KINDS[kind].status: kind
    for kind in (
        ProblemType.MALFORMED_REQUEST,
        ProblemType.UNAUTHENTICATED,
        ProblemType.FORBIDDEN,
        ProblemType.NOT_FOUND,
        ProblemType.METHOD_NOT_ALLOWED,
        ProblemType.REQUEST_TIMEOUT,
        ProblemType.PAYLOAD_TOO_LARGE,
        ProblemType.UNSUPPORTED_MEDIA_TYPE,
        ProblemType.RANGE_NOT_SATISFIABLE,
        ProblemType.VALIDATION,
        ProblemType.BUSY,
        ProblemType.INTERNAL_ERROR,
        ProblemType.DEPENDENCY_UNAVAILABLE,
    )
}


def of_status(status: int) -> ProblemType:
    """Return the type of an error if only its HTTP status is known."""
    fallback = ProblemType.MALFORMED_REQUEST if status < 500 else ProblemType.INTERNAL_ERROR
    return OF_STATUS.get(status, fallback)
