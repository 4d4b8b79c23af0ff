"""Second step of a log-in: the code."""

from services.gateway.accounts import attempts, challenge_store
from services.gateway.accounts.factors import checks
from services.gateway.accounts.login import ACTION, Browser, Session, open_session
from services.gateway.accounts.store import User
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import RequestAudit
from services.gateway.context import Context
from services.kit.bus.audit import ANONYMOUS
from services.kit.database import pool as database


async def log_in_with_code(
    context: Context, audit: RequestAudit, *, browser: Browser, challenge: str, code: str
) -> Session:
    """Complete the log-in of a challenge.

    Raises:
        RequestError: the challenge is not valid any more, the code is wrong, or there were too many
            attempts.
    """
    async with database.transaction(context.pool) as connection:
        user = await challenge_store.user_of(connection, challenge)
        if user is None:
            raise _expired(audit)
        limits = checks.login_limits(context, user.id, peer=audit.peer, device=browser.device)
        if wait := await attempts.count(connection, limits, checks.WINDOW):
            _refuse(audit, user, "too many attempts")
            raise errors.throttled(wait)
    async with database.transaction(context.pool) as connection:
        # An error below rolls this back, so a wrong code does not end the log-in.
        if not await challenge_store.take(connection, challenge):
            raise _expired(audit)
        method = await checks.use_code(connection, context, user.id, code)
        if method is None:
            _refuse(audit, user, "wrong code")
            raise errors.RequestError(
                ProblemType.WRONG_CODE,
                "The code is wrong, or it was used before. Wait for the next code.",
            )
        await attempts.forgive(connection, limits)
        session = await open_session(connection, context.settings.token_secret, user, browser)
    audit.record("", f"with a {method}", action=ACTION, actor=f"user:{user.id}")
    return session


def _expired(audit: RequestAudit) -> errors.RequestError:
    audit.refused("no valid challenge", action=ACTION, actor=ANONYMOUS)
    return errors.unauthenticated(
        "This log-in has expired, or was already completed. Log in again."
    )


def _refuse(audit: RequestAudit, user: User, reason: str) -> None:
    audit.refused(
        reason,
        object_id=f"user:{user.id}",
        detail=user.username,
        action=ACTION,
        actor=ANONYMOUS,
    )
