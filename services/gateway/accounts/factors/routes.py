"""HTTP routes for second factors, and for the second step of a log-in."""

import io
from datetime import timedelta
from typing import Any

import segno
from litestar import Controller, Request, Response, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from services.gateway.accounts import challenge_store, session_store
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.accounts.factors import checks, recovery_codes, store, totp
from services.gateway.accounts.factors.login import log_in_with_code
from services.gateway.accounts.factors.schemas import (
    Code,
    FactorLogin,
    Factors,
    Password,
    Proof,
    RecoveryCodes,
    Totp,
    TotpEnrolment,
)
from services.gateway.accounts.routes import browser_of, session_answer
from services.gateway.accounts.schemas import LoggedIn
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION, PUBLIC
from services.gateway.api.transaction import UseConnection
from services.gateway.context import Context, UseContext
from services.kit.access import Action
from services.kit.database import pool as database
from services.kit.secrets import vault
from services.kit.secrets.columns import TOTP_SEED

ENROLMENT_LIFETIME = timedelta(minutes=15)


@post(
    "/auth/login/factor",
    operation_id="loginWithFactor",
    status_code=HTTP_200_OK,
    summary="Complete a log-in with a code",
    tags=["Session"],
    opt={PUBLIC: True},
)
async def login_with_factor(
    request: Request[Any, Any, Any],
    data: JSONBody[FactorLogin],
    context: UseContext,
    audit: UseAudit,
) -> Response[LoggedIn]:
    """Send the `challenge` from the problem `second-factor-required`, and a code.

    The answer is that of a log-in without a second factor. A challenge is valid for five minutes and
    for one log-in. Each code is accepted once.
    """
    session = await log_in_with_code(
        context,
        audit,
        challenge=data.challenge,
        code=data.code,
        browser=browser_of(request, audit),
    )
    return session_answer(context, session)


class FactorController(Controller):
    path = "/auth/factors"
    tags = ("Second factor",)

    @get(
        operation_id="factors",
        summary="Get the state of your second factor",
        opt={ACTION: Action.ACCOUNT_READ},
    )
    async def factors(self, request: AuthedRequest, db: UseConnection) -> Factors:
        user_id = request.user.id
        confirmed_at = await store.confirmed_at(db, user_id=user_id)
        return Factors(
            totp=None if confirmed_at is None else Totp(confirmed_at),
            recovery_codes=await store.count_recovery_codes(db, user_id=user_id),
        )

    @post(
        "/totp",
        operation_id="enrolTotp",
        summary="Begin to turn the second factor on",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def enrol(
        self,
        request: AuthedRequest,
        data: JSONBody[Password],
        context: UseContext,
        audit: UseAudit,
    ) -> TotpEnrolment:
        """Return a new secret for an authenticator app. The factor counts once a code confirms it."""
        user, action = request.user, "factor.enrol"
        proof = Proof(password=data.password)
        seed = totp.new_seed()
        async with checks.proven(context, audit, user, proof, action=action) as connection:
            encrypted = await vault.encrypt(
                connection, context.master_keys, TOTP_SEED.row(user.id), seed
            )
            if not await store.insert_factor(connection, user_id=user.id, seed=encrypted):
                raise errors.RequestError(
                    ProblemType.LIMIT_REACHED,
                    "The second factor of this account is on already. Turn it off first.",
                )
            await audit.begin(f"user:{user.id}", action=action)
        uri = totp.uri(seed, f"{user.username}@{_host(context)}")
        return TotpEnrolment(
            secret=totp.base32(seed),
            uri=uri,
            qr_svg=_qr_code(uri),
            expires_in=int(ENROLMENT_LIFETIME.total_seconds()),
        )

    @post(
        "/totp/confirmation",
        operation_id="confirmTotp",
        status_code=HTTP_200_OK,
        summary="Turn the second factor on with its first code",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def confirm(
        self, request: AuthedRequest, data: JSONBody[Code], context: UseContext, audit: UseAudit
    ) -> RecoveryCodes:
        """Return ten recovery codes. All other login sessions of the account end."""
        user, action = request.user, "factor.confirm"
        async with checks.confirmed(
            context, audit, user, data.code, lifetime=ENROLMENT_LIFETIME, action=action
        ) as connection:
            await session_store.delete(connection, user_id=user.id, keep=user.session_id)
            codes = await _new_recovery_codes(connection, request)
            await audit.begin(f"user:{user.id}", action=action)
        return codes

    @post(
        "/totp/removal",
        operation_id="removeTotp",
        status_code=HTTP_204_NO_CONTENT,
        summary="Turn the second factor off, with the password or a code",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def remove(
        self, request: AuthedRequest, data: JSONBody[Proof], context: UseContext, audit: UseAudit
    ) -> None:
        user, action = request.user, "factor.remove"
        async with checks.proven(context, audit, user, data, action=action) as connection:
            await challenge_store.delete_all(connection, user_id=user.id)
            if not await store.delete_factor(connection, user_id=user.id):
                raise errors.invalid("The second factor of this account is off.", "password")
            await audit.begin(f"user:{user.id}", action=action)

    @post(
        "/recovery-codes",
        operation_id="renewRecoveryCodes",
        status_code=HTTP_200_OK,
        summary="Get new recovery codes with a code",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def renew(
        self, request: AuthedRequest, data: JSONBody[Code], context: UseContext, audit: UseAudit
    ) -> RecoveryCodes:
        """Return ten recovery codes. Earlier ones are no longer valid."""
        user, action = request.user, "recovery-codes.renew"
        proof = Proof(code=data.code)
        async with checks.proven(context, audit, user, proof, action=action) as connection:
            codes = await _new_recovery_codes(connection, request)
            await audit.begin(f"user:{user.id}", action=action)
        return codes


async def _new_recovery_codes(
    connection: database.Connection, request: AuthedRequest
) -> RecoveryCodes:
    user_id, codes = request.user.id, recovery_codes.new_codes()
    hashes = [recovery_codes.hash_code(user_id, code) for code in codes]
    await store.replace_recovery_codes(connection, user_id=user_id, hashes=hashes)
    return RecoveryCodes(codes)


def _qr_code(text: str) -> str:
    """Return a QR code in SVG: black on white in every theme, as scanners need it."""
    drawing = io.BytesIO()
    segno.make_qr(text, error="m").save(
        drawing, kind="svg", xmldecl=False, omitsize=True, border=4, dark="#000", light="#fff"
    )
    return drawing.getvalue().decode()


def _host(context: Context) -> str:
    return context.settings.public_url.partition("://")[2]
