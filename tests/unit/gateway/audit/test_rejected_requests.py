import pytest

from services.gateway.app import create_app
from services.gateway.audit.rejected_requests import nearest_area

VPS = "6d9f0bd0-0000-4000-8000-000000000000"
APP = create_app(None)


@pytest.mark.parametrize(
    ("path", "area"),
    [
        (f"/api/v1/vps/{VPS}/docker/containers/../../images/json", "docker"),
        (f"/api/v1/vps/{VPS}/docker/containers/0123456789ab/logs/x/y", "docker"),
        (f"/api/v1/vps/{VPS}/files/nothing", "files"),
        (f"/api/v1/vps/{VPS}/shell/x", "shell"),
        ("/api/v1/shell-sessions/../../x", "shell"),
        ("/api/v1/runs/x/y/z", ""),
        (f"/api/v1/vps/{VPS}/nothing", ""),
        (f"/api/v1/vps/{VPS}/metrics/nothing", ""),
        ("/api/v1/vps/not-an-id/files/x", ""),
        ("/api/v1/nothing", ""),
        ("/", ""),
    ],
)
def test_a_path_without_a_route_belongs_to_the_area_whose_paths_begin_like_it(
    path: str, area: str
) -> None:
    found, path_params = nearest_area(APP, path)
    assert found == area
    if area and path.startswith("/api/v1/vps/"):
        assert path_params["vps_id"] == VPS
