from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from services.gateway import openapi, static
from services.gateway.accounts.api_tokens import ApiTokenController
from services.gateway.accounts.authentication import Authentication
from services.gateway.accounts.factors.routes import FactorController, login_with_factor
from services.gateway.accounts.login_sessions import LoginSessionController, change_password
from services.gateway.accounts.preferences import PreferencesController
from services.gateway.accounts.request_origin import check_write
from services.gateway.accounts.routes import SessionController
from services.gateway.alerts.channels import AlertChannelController, OutboundController
from services.gateway.alerts.routes import AlertRuleController, list_events
from services.gateway.api import problems, transaction
from services.gateway.api.compression import COMPRESSED
from services.gateway.api.open_requests import remembered
from services.gateway.api.query_parameters import check_query
from services.gateway.api.request_audit import provide_audit
from services.gateway.api.route_guard import check_route
from services.gateway.api.rules import API, PUBLIC
from services.gateway.api.socket_problems import remember
from services.gateway.api.time_range import provide_hour, provide_points
from services.gateway.audit import rejected_requests
from services.gateway.audit import routes as audit_routes
from services.gateway.context import Context, provide_context
from services.gateway.docker import log_stream
from services.gateway.docker.containers import ContainerController
from services.gateway.docker.images import ImageController
from services.gateway.files.downloads import DownloadController
from services.gateway.files.editor import EditorController
from services.gateway.files.routes import FileController
from services.gateway.files.uploads import UploadController
from services.gateway.metrics import data_gaps, disks, history
from services.gateway.metrics.custom_series import SeriesController
from services.gateway.organisations.invitations import InvitationController, register
from services.gateway.organisations.members import MemberController
from services.gateway.organisations.routes import OrganisationController
from services.gateway.overview.routes import overview
from services.gateway.realtime import routes as realtime
from services.gateway.realtime.tickets import TicketController
from services.gateway.runs.routes import RunController
from services.gateway.servers import install
from services.gateway.servers.access import provide_server
from services.gateway.servers.agent_calls import provide_agent
from services.gateway.servers.routes import ServerController
from services.gateway.servers.shares import ShareController
from services.gateway.terminals import socket as terminal_socket
from services.gateway.terminals.routes import ShellSessionController
from services.gateway.traffic.routes import TrafficController
from services.gateway.users.routes import UserController

MAX_BODY = 1024 * 1024  # bytes


def create_app(context: Context | None) -> Litestar:
    """Return the application. Without a context, it can only produce its OpenAPI document."""
    return Litestar(
        route_handlers=[_api(), *_site()],
        dependencies={"context": Provide(provide_context, sync_to_thread=False)},
        guards=[check_route],
        exception_handlers=problems.HANDLERS,
        after_exception=[transaction.roll_back, rejected_requests.record, remember],
        openapi_config=_openapi(),
        state=_state(context),
        request_max_body_size=MAX_BODY,
        logging_config=None,
    )


def _state(context: Context | None) -> State:
    """Return the values of the context that modules below `context` read."""
    if context is None:
        return State()
    return State(
        {
            "context": context,
            "pool": context.pool,
            "audit_log": context.audit_log,
            "public_url": context.settings.public_url,
        }
    )


def _api() -> Router:
    return Router(
        path=API,
        route_handlers=[
            SessionController,
            LoginSessionController,
            change_password,
            ApiTokenController,
            login_with_factor,
            FactorController,
            PreferencesController,
            UserController,
            OrganisationController,
            MemberController,
            InvitationController,
            register,
            TicketController,
            RunController,
            AlertRuleController,
            list_events,
            AlertChannelController,
            OutboundController,
            audit_routes.audit,
            audit_routes.export_audit,
            install.bootstrap,
            openapi.page,
            overview,
            realtime.fleet_realtime,
            _servers(),
        ],
        dependencies={
            "audit": Provide(provide_audit, sync_to_thread=False),
            "db": Provide(transaction.open_transaction),
        },
        middleware=[DefineMiddleware(Authentication, exclude_from_auth_key=PUBLIC), remembered],
        guards=[check_write, check_query],
    )


def _servers() -> Router:
    """Return the areas whose routes are about one server."""
    return Router(
        path="/",
        route_handlers=[
            ServerController,
            ShareController,
            history.historical,
            disks.historical,
            SeriesController,
            data_gaps.gaps,
            TrafficController,
            ContainerController,
            ImageController,
            log_stream.follow,
            FileController,
            EditorController,
            UploadController,
            DownloadController,
            realtime.vps_realtime,
            ShellSessionController,
            terminal_socket.shell,
        ],
        dependencies={
            "server": Provide(provide_server),
            "agent": Provide(provide_agent, sync_to_thread=False),
            "time_range": Provide(provide_hour, sync_to_thread=False),
            "points": Provide(provide_points, sync_to_thread=False),
        },
    )


def _site() -> list[HTTPRouteHandler]:
    """Return the handlers of addresses outside the API."""
    return [
        static.healthz,
        static.readyz,
        static.metrics,
        install.script,
        install.artefact,
        static.problem_page,
        static.index,
        static.console,
    ]


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Flotilla",
        version="1",
        description="The API of the Flotilla console.",
        openapi_router=Router(
            path=openapi.PATH,
            route_handlers=[],
            opt={PUBLIC: True},
            middleware=COMPRESSED,
            include_in_schema=False,
        ),
        render_plugins=[openapi.DocumentPlugin()],
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
            }
        ),
        security=[{"token": []}],
        use_handler_docstrings=True,
    )
