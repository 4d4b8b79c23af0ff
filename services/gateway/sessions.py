"""Log in, stay logged in, log out."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from services.gateway import errors
from services.gateway.credentials import (
    ACCESS_LIFETIME,
    Claims,
    hash_secret,
    issue_token,
    new_secret,
    password_matches,
)
from services.gateway.guard import ACTION, PUBLIC, AuthedRequest
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.schemas import Account, Credentials, LoggedIn
from services.gateway.store import accounts
from services.kit import database
from services.kit.access import Action, Role

COOKIE = "flotilla_session"
COOKIE_PATH = "/api/v1/auth"
SESSION_LIFETIME = timedelta(days=14)
FAILURE_WINDOW = timedelta(minutes=5)
# Wrong passwords within the window: for one name from one address, one address, one name.
PAIR_LIMIT, ADDRESS_LIMIT, NAME_LIMIT = 5, 30, 100


class SessionController(Controller):
    path = "/auth"
    tags = ("Session",)

    @post(
        "/login",
        operation_id="login",
        status_code=HTTP_200_OK,
        summary="Log in",
        opt={PUBLIC: True},
    )
    async def login(
        self, request: Request[Any, Any, Any], data: JSONBody[Credentials], runtime: UseRuntime
    ) -> Response[LoggedIn]:
        """Answers an access token, and sets the cookie that `refresh` needs."""
        username = data.username.strip().lower()
        address = request.client.host if request.client else ""
        pair = f"pair:{username}@{address}"
        limits = {
            pair: PAIR_LIMIT,
            f"address:{address}": ADDRESS_LIMIT,
            f"name:{username}": NAME_LIMIT,
        }
        async with database.transaction(runtime.pool) as connection:
            attempts = await accounts.count_attempt(
                connection, keys=list(limits), window=FAILURE_WINDOW
            )
            user = await accounts.user_by_name(connection, username=username)
        waits = [left for key, (count, left) in attempts.items() if count > limits[key]]
        if waits:
            _note(runtime, "anonymous", address, refusal="too many attempts")
            raise errors.throttled(int(max(waits)) + 1)
        good = await password_matches(data.password, None if user is None else user.password_hash)
        if user is None or not good or not user.enabled:
            _note(runtime, "anonymous", address, refusal="wrong name or password")
            raise errors.unauthenticated("The user name or the password is wrong.")
        secret = new_secret()
        async with database.transaction(runtime.pool) as connection:
            await accounts.forgive_attempt(connection, keys=list(limits), wholly=pair)
            session_id = await accounts.insert_session(
                connection,
                user_id=user.id,
                secret_hash=hash_secret(secret),
                lifetime=SESSION_LIFETIME,
            )
        _note(runtime, f"user:{user.id}", address)
        return Response(_logged_in(runtime, user, session_id), cookies=[_cookie(runtime, secret)])

    @post(
        "/refresh",
        operation_id="refresh",
        status_code=HTTP_200_OK,
        summary="A new access token by the session cookie",
        opt={PUBLIC: True},
    )
    async def refresh(self, request: Request[Any, Any, Any], runtime: UseRuntime) -> LoggedIn:
        secret = request.cookies.get(COOKIE)
        if not secret:
            raise errors.unauthenticated("There is no session: log in.")
        async with database.transaction(runtime.pool) as connection:
            session = await accounts.session_by_secret(connection, secret_hash=hash_secret(secret))
            user = None
            if session is not None:
                session_id, user_id = session
                user = await accounts.user_of_session(
                    connection, session_id=session_id, user_id=user_id
                )
        if session is None or user is None:
            raise errors.unauthenticated("The session has ended: log in.")
        return _logged_in(runtime, user, session[0])

    @post(
        "/logout",
        operation_id="logout",
        status_code=HTTP_204_NO_CONTENT,
        summary="End the session",
        opt={PUBLIC: True},
    )
    async def logout(self, request: Request[Any, Any, Any], runtime: UseRuntime) -> Response[None]:
        secret = request.cookies.get(COOKIE)
        if secret:
            async with database.transaction(runtime.pool) as connection:
                await accounts.delete_session(connection, secret_hash=hash_secret(secret))
        response: Response[None] = Response(None, status_code=HTTP_204_NO_CONTENT)
        response.delete_cookie(COOKIE, path=COOKIE_PATH)
        return response

    @get(
        "/me",
        operation_id="me",
        summary="Who is logged in",
        opt={ACTION: Action.ACCOUNT_READ},
    )
    async def me(self, request: AuthedRequest, runtime: UseRuntime) -> Account:
        actor = request.user
        async with database.transaction(runtime.pool) as connection:
            user = await accounts.user_of_session(
                connection, session_id=actor.session_id, user_id=actor.id
            )
        if user is None:
            raise errors.unauthenticated("The session has ended: log in.")
        return _account(user)


def _note(runtime: Runtime, actor: str, peer: str, *, refusal: str = "") -> None:
    runtime.trail.note(
        actor=actor, action="session.login", allowed=not refusal, reason=refusal, peer=peer
    )


def _account(user: accounts.User) -> Account:
    return Account(user.id, user.username, user.email, Role(user.role), user.created_at)


def _logged_in(runtime: Runtime, user: accounts.User, session_id: UUID) -> LoggedIn:
    return LoggedIn(
        access_token=issue_token(runtime.settings.token_secret, Claims(user.id, session_id)),
        expires_in=int(ACCESS_LIFETIME.total_seconds()),
        user=_account(user),
    )


def _cookie(runtime: Runtime, secret: str) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=secret,
        path=COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=runtime.settings.public_url.startswith("https:"),
        max_age=int(SESSION_LIFETIME.total_seconds()),
    )
