from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from services.gateway import (
    audit,
    commands,
    console,
    container_logs,
    disks,
    document,
    gaps,
    history,
    install,
    problems,
    refusals,
    sockets,
    terminal,
)
from services.gateway.commands import CommandController
from services.gateway.container_images import ImageController
from services.gateway.containers import ContainerController
from services.gateway.downloads import DownloadController
from services.gateway.files import FileController
from services.gateway.guard import Authentication, check_route
from services.gateway.runtime import Runtime
from services.gateway.series import SeriesController
from services.gateway.servers import ServerController
from services.gateway.sessions import SessionController
from services.gateway.shell_sessions import ShellSessionController
from services.gateway.texts import TextController
from services.gateway.traffic import TrafficController
from services.gateway.uploads import UploadController

API = "/api/v1"
MAX_BODY = 1024 * 1024  # bytes


def provide_runtime(state: State) -> Runtime:
    runtime: Runtime = state.runtime
    return runtime


def create_app(runtime: Runtime | None) -> Litestar:
    """The gateway's application; without a runtime, only good for its OpenAPI document."""
    api = Router(
        path=API,
        route_handlers=[
            SessionController,
            ServerController,
            sockets.TicketController,
            history.historical,
            disks.historical,
            SeriesController,
            gaps.gaps,
            TrafficController,
            CommandController,
            commands.run_on_many,
            ContainerController,
            ImageController,
            container_logs.follow,
            FileController,
            TextController,
            UploadController,
            DownloadController,
            audit.audit,
            install.bootstrap,
            document.page,
            sockets.fleet_realtime,
            sockets.vps_realtime,
            ShellSessionController,
            terminal.shell,
        ],
        middleware=[DefineMiddleware(Authentication, exclude_from_auth_key="public")],
        guards=[check_route],
    )
    return Litestar(
        route_handlers=[
            api,
            console.healthz,
            console.readyz,
            console.metrics,
            install.script,
            install.artefact,
            console.index,
            console.console,
        ],
        dependencies={"runtime": Provide(provide_runtime, sync_to_thread=False)},
        exception_handlers=problems.HANDLERS,
        after_exception=[refusals.note],
        openapi_config=OpenAPIConfig(
            title="Flotilla",
            version="1",
            description="The API of the Flotilla console.",
            path=document.PATH,
            render_plugins=[document.DocumentPlugin()],
            components=Components(
                security_schemes={
                    "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
                }
            ),
            security=[{"token": []}],
            use_handler_docstrings=True,
        ),
        state=State({"runtime": runtime}),
        request_max_body_size=MAX_BODY,
        logging_config=None,
    )
