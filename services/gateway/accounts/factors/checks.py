"""Checks of passwords and codes, with limits on failed attempts."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from psycopg import AsyncConnection

from services.gateway.accounts import attempts
from services.gateway.accounts import store as account_store
from services.gateway.accounts.factors import recovery_codes, store, totp
from services.gateway.accounts.factors.schemas import Proof
from services.gateway.accounts.login import is_device_of, network_of
from services.gateway.accounts.passwords import password_matches
from services.gateway.accounts.tokens import hash_secret
from services.gateway.api import errors
from services.gateway.api.request_audit import RequestAudit
from services.gateway.context import Context
from services.kit.access import Actor
from services.kit.database import pool as database
from services.kit.secrets import vault
from services.kit.secrets.columns import TOTP_SEED

WINDOW = timedelta(minutes=15)
# Limits of failed attempts within the window: from one place, and per account from all places that
# have not logged in to it before. A code has a million values, of which three are right.
PLACE_LIMIT, ACCOUNT_LIMIT = 5, 10


class Method(StrEnum):
    """The kinds of codes."""

    TOTP = "code"
    RECOVERY = "recovery code"


def login_limits(context: Context, user_id: UUID, *, peer: str, device: str) -> dict[str, int]:
    """Return the limits on codes at a log-in from a client address, with its device cookie.

    A browser that has logged in to the account before has a limit of its own, so that guesses from
    elsewhere do not lock the owner out.
    """
    if is_device_of(context.settings.token_secret, user_id, device):
        return {f"factor:{user_id}@{hash_secret(device).hex()}": PLACE_LIMIT}
    return {
        f"factor:{user_id}@{network_of(peer)}": PLACE_LIMIT,
        f"factor:{user_id}": ACCOUNT_LIMIT,
    }


async def use_code(
    connection: AsyncConnection, context: Context, user_id: UUID, text: str
) -> Method | None:
    """Use a code of a user up; return its kind, or None if it is wrong or was used before."""
    factor = await store.lock_factor(connection, user_id=user_id)
    if factor is None:
        return None
    plain = recovery_codes.plain(text)
    if len(plain) == totp.DIGITS:
        is_right = await _use_totp(connection, context, user_id, factor, plain)
        return Method.TOTP if is_right else None
    code_hash = recovery_codes.hash_code(user_id, plain)
    is_right = await store.use_recovery_code(connection, user_id=user_id, code_hash=code_hash)
    return Method.RECOVERY if is_right else None


async def _use_totp(
    connection: AsyncConnection, context: Context, user_id: UUID, factor: store.Factor, code: str
) -> bool:
    """Accept a code of this factor, if it is right and newer than the last accepted one."""
    place = TOTP_SEED.row(user_id)
    seed = await vault.decrypt(connection, context.master_keys, place, factor.seed)
    step = totp.matching_step(seed, code, now=time.time(), after=factor.last_step)
    if step is None:
        return False
    await store.accept_step(connection, user_id=user_id, step=step)
    return True


@asynccontextmanager
async def proven(
    context: Context, audit: RequestAudit, actor: Actor, proof: Proof, *, action: str
) -> AsyncIterator[AsyncConnection]:
    """Check the password or the code of a logged-in user, then open a transaction for the change.

    Raises:
        RequestError: the proof is wrong or missing, or there were too many attempts.
    """
    field = "code" if proof.code is not None else "password"
    if (proof.code is None) == (proof.password is None):
        raise errors.invalid("Send either `password` or `code`.", "password", "code")
    limits = _limits(actor)
    await _count_attempt(context, audit, limits, action=action)
    if proof.password is not None and not await _password_is_right(context, actor, proof.password):
        raise _wrong(audit, actor, field, action)
    async with database.transaction(context.pool) as connection:
        await store.lock_user(connection, user_id=actor.id)
        if proof.code is not None and not await use_code(connection, context, actor.id, proof.code):
            raise _wrong(audit, actor, field, action)
        await attempts.forgive(connection, limits)
        yield connection


@asynccontextmanager
async def confirmed(
    context: Context,
    audit: RequestAudit,
    actor: Actor,
    code: str,
    *,
    lifetime: timedelta,
    action: str,
) -> AsyncIterator[AsyncConnection]:
    """Confirm the factor that waits for its first code, and keep the transaction open.

    Raises:
        RequestError: the code is wrong, no factor waits, or there were too many attempts.
    """
    limits = _limits(actor)
    await _count_attempt(context, audit, limits, action=action)
    async with database.transaction(context.pool) as connection:
        await store.lock_user(connection, user_id=actor.id)
        factor = await store.lock_enrolment(connection, user_id=actor.id, lifetime=lifetime)
        if factor is None:
            raise errors.invalid(
                "No second factor waits for a code, or it has expired. Begin again.", "code"
            )
        plain = recovery_codes.plain(code)
        if not await _use_totp(connection, context, actor.id, factor, plain):
            raise _wrong(audit, actor, "code", action)
        await attempts.forgive(connection, limits)
        yield connection


def _limits(actor: Actor) -> dict[str, int]:
    return {f"proof:{actor.id}@{actor.session_id}": PLACE_LIMIT}


async def _count_attempt(
    context: Context, audit: RequestAudit, limits: Mapping[str, int], *, action: str
) -> None:
    """Count an attempt of a logged-in user.

    Raises:
        RequestError: there were too many attempts.
    """
    async with database.transaction(context.pool) as connection:
        if wait := await attempts.count(connection, limits, WINDOW):
            audit.refused("too many attempts", object_id=audit.actor, action=action)
            raise errors.throttled(wait)


def _wrong(audit: RequestAudit, actor: Actor, field: str, action: str) -> errors.RequestError:
    """Return the error for a wrong password or code, with its audit entry."""
    audit.refused(f"wrong {field}", object_id=f"user:{actor.id}", action=action)
    if field == "code":
        return errors.invalid(
            "The code is wrong, or it was used before. Wait for the next code.", field
        )
    return errors.invalid("The password is wrong.", field)


async def _password_is_right(context: Context, actor: Actor, password: str) -> bool:
    async with database.transaction(context.pool) as connection:
        user = await account_store.user_of_session(
            connection, session_id=actor.session_id, user_id=actor.id
        )
    password_hash = None if user is None else user.password_hash
    return await password_matches(password, password_hash, is_known=True, attempts=1)
