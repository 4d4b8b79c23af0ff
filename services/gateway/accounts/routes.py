"""HTTP routes to log in, renew the access token and log out."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from services.gateway.accounts import session_store, store
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.accounts.login import SESSION_LIFETIME, Browser, Session, log_in, renew
from services.gateway.accounts.preferences import stored_preferences
from services.gateway.accounts.schemas import Account, AccountOrganisation, Credentials, LoggedIn
from services.gateway.accounts.tokens import ACCESS_LIFETIME, Claims, hash_secret, issue_token
from services.gateway.api import errors
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION, API, PUBLIC
from services.gateway.api.transaction import UseConnection
from services.gateway.context import Context, UseContext
from services.kit.access import Action, Role

COOKIE = "flotilla_session"
DEVICE_COOKIE = "flotilla_device"
DEVICE_LIFETIME = timedelta(days=365)
# Bytes of a body that anybody can send, with every character of the password escaped.
CREDENTIALS_MAX = 16 * 1024
COOKIE_PATH = f"{API}/auth"


class SessionController(Controller):
    path = "/auth"
    tags = ("Session",)

    @post(
        "/login",
        operation_id="login",
        status_code=HTTP_200_OK,
        summary="Log in",
        opt={PUBLIC: True},
        request_max_body_size=CREDENTIALS_MAX,
    )
    async def login(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Credentials],
        context: UseContext,
        audit: UseAudit,
    ) -> Response[LoggedIn]:
        """Return an access token and set the session cookie for `refresh`.

        If the account has a second factor, the answer is the problem `second-factor-required`.
        """
        session = await log_in(
            context.pool,
            audit,
            context.settings.token_secret,
            browser_of(request, audit),
            username=data.username,
            password=data.password,
        )
        return session_answer(context, session)

    @post(
        "/refresh",
        operation_id="refresh",
        status_code=HTTP_200_OK,
        summary="Get a new access token with the session cookie",
        opt={PUBLIC: True},
    )
    async def refresh(
        self, request: Request[Any, Any, Any], context: UseContext, audit: UseAudit
    ) -> Response[LoggedIn]:
        """Replace the secret in the cookie too. A secret that is used again ends the session."""
        secret = request.cookies.get(COOKIE)
        if not secret:
            raise errors.unauthenticated("There is no login session. Log in.")
        user, session_id, renewed = await renew(context.pool, audit, secret)
        cookies = [_cookie(context, COOKIE, renewed, SESSION_LIFETIME)] if renewed else []
        return Response(_logged_in(context, user, session_id), cookies=cookies)

    @post(
        "/logout",
        operation_id="logout",
        status_code=HTTP_204_NO_CONTENT,
        summary="Log out",
        opt={PUBLIC: True},
    )
    async def logout(self, request: Request[Any, Any, Any], db: UseConnection) -> Response[None]:
        secret = request.cookies.get(COOKIE)
        if secret:
            await session_store.delete_by_secret(db, secret_hash=hash_secret(secret))
        response: Response[None] = Response(None, status_code=HTTP_204_NO_CONTENT)
        response.delete_cookie(COOKIE, path=COOKIE_PATH)
        return response

    @get(
        "/me",
        operation_id="me",
        summary="Get your account",
        opt={ACTION: Action.ACCOUNT_READ},
    )
    async def me(self, request: AuthedRequest, db: UseConnection) -> Account:
        user = await store.user_by_name(db, username=request.user.username)
        if user is None:
            raise errors.unauthenticated("The login session has ended. Log in again.")
        return account_of(user)


def account_of(user: store.User) -> Account:
    return Account(
        id=user.id,
        username=user.username,
        email=user.email,
        role=Role(user.role),
        created_at=user.created_at,
        organisations=msgspec.convert(user.organisations, list[AccountOrganisation]),
    )


def session_answer(context: Context, session: Session) -> Response[LoggedIn]:
    """Return the answer to a log-in: an access token, and the cookies."""
    return Response(
        _logged_in(context, session.user, session.id),
        cookies=[
            _cookie(context, COOKIE, session.secret, SESSION_LIFETIME),
            _cookie(context, DEVICE_COOKIE, session.device, DEVICE_LIFETIME),
        ],
    )


def browser_of(request: Request[Any, Any, Any], audit: RequestAudit) -> Browser:
    return Browser(
        device=request.cookies.get(DEVICE_COOKIE, ""),
        user_agent=request.headers.get("user-agent", ""),
        address=audit.peer,
    )


def _logged_in(context: Context, user: store.User, session_id: UUID) -> LoggedIn:
    return LoggedIn(
        access_token=issue_token(context.settings.token_secret, Claims(user.id, session_id)),
        expires_in=int(ACCESS_LIFETIME.total_seconds()),
        user=account_of(user),
        preferences=stored_preferences(user.preferences),
    )


def _cookie(context: Context, name: str, value: str, lifetime: timedelta) -> Cookie:
    return Cookie(
        key=name,
        value=value,
        path=COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=context.settings.public_url.startswith("https:"),
        max_age=int(lifetime.total_seconds()),
    )
