import pytest

from services.gateway.api.errors import RequestError
from services.gateway.api.rules import ACTION
from services.gateway.app import create_app
from services.gateway.realtime.tickets import find_socket
from services.kit.access import Action

VPS = "6d9f0bd0-0000-4000-8000-000000000000"
CONTAINER = "a" * 64
APP = create_app(None)


@pytest.mark.parametrize(
    ("path", "resource", "action"),
    [
        ("fleet/realtime", "fleet/realtime", Action.FLEET_READ),
        ("/api/v1/fleet/realtime/", "fleet/realtime", Action.FLEET_READ),
        (f"vps/{VPS}/metrics/realtime", f"vps/{VPS}/metrics/realtime", Action.VPS_READ),
        (f"vps/{VPS.upper()}/shell", f"vps/{VPS}/shell", Action.SHELL_READ),
        (
            f"vps/{VPS}/docker/containers/{CONTAINER}/logs/follow",
            f"vps/{VPS}/docker/containers/{CONTAINER}/logs/follow",
            Action.DOCKER_READ,
        ),
    ],
)
def test_the_path_of_a_socket_leads_to_its_rule_and_resource(
    path: str, resource: str, action: Action
) -> None:
    handler, found, _ = find_socket(APP, path)
    assert (found, handler.opt[ACTION]) == (resource, action)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "fleet",
        "vps",
        f"vps/{VPS}",
        "vps/../x",
        "vps/x/shell",
        f"vps/{VPS}/shell?observe=1",
        f"vps/{VPS}/docker/containers/../../x/logs/follow",
        f"vps/{VPS}/docker/containers/web/logs/follow",
        "auth/me",
    ],
)
def test_a_path_that_is_no_socket_is_refused(path: str) -> None:
    with pytest.raises(RequestError) as refused:
        find_socket(APP, path)
    assert refused.value.fields == ("resource",)
