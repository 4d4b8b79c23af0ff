"""Arbitrary requests to every address of the API: none is answered with a server error."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.world import World

FUZZER = Path(sys.executable).with_name("st")
# Requests of each kind; `make fuzz` sends many more.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SECONDS = 1_500
# These would delete the objects of other requests, or last until the run ends.
LEFT_OUT = ("deleteVps", "logout", "followRun", "deleteSession", "deleteUser", "updateUser")


def document_about(document: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """Return the OpenAPI document with ids that exist, so that requests get past the look-up."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] in known:
                    parameter["schema"] = {"type": "string", "enum": [known[parameter["name"]]]}
    return document


async def ids(user: httpx.AsyncClient) -> dict[str, str]:
    vps_id = (await user.post("/vps", json={"name": "fuzzed"})).json()["id"]
    run = await user.post("/runs", json={"script": "true", "server_ids": [vps_id]})
    return {"vps_id": vps_id, "run_id": run.json()["id"]}


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize(("role", "phases"), [("admin", "coverage,fuzzing"), ("member", "fuzzing")])
async def test_no_request_causes_a_server_error(
    own_world: World, tmp_path: Path, role: str, phases: str
) -> None:
    await own_world.start_all()
    user = await own_world.user(role)
    document = (await user.get("/openapi.json")).json()
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document_about(document, await ids(user))))

    fuzzer = await asyncio.create_subprocess_exec(
        *(str(FUZZER), "run", str(described), "--url", own_world.http, "--no-color"),
        *("--header", f"Authorization: {user.headers['Authorization']}"),
        *("--checks", "not_a_server_error", "--phases", phases),
        *("--max-examples", str(EXAMPLES), "--request-timeout", "20"),
        *(word for name in LEFT_OUT for word in ("--exclude-operation-id", name)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    async with asyncio.timeout(SECONDS):
        told, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, told.decode()[-6000:]
    assert (await user.get("/auth/me")).status_code == 200
