import msgspec
import pytest

from services.gateway.accounts.preferences import is_time_zone, stored_preferences
from services.gateway.accounts.schemas import Preferences


def test_what_another_version_stored_is_left_out_and_the_rest_is_kept() -> None:
    stored = {"clock": "12h", "size_unit": "dozens", "theme": 7, "colour": "red"}

    assert msgspec.structs.asdict(stored_preferences(stored)) == {
        **dict.fromkeys(Preferences.__struct_fields__),
        "clock": "12h",
    }


@pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Calcutta", "UTC", "Etc/GMT+5"])
def test_current_and_older_names_of_time_zones_are_known(name: str) -> None:
    assert is_time_zone(name)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "Europe", "../etc/passwd", "/etc/passwd", "posix/UTC", "Europe/"]
)
def test_other_names_are_no_time_zones(name: str) -> None:
    assert not is_time_zone(name)
