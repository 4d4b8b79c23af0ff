from services.kit import observability


def test_secrets_are_left_out_of_logs() -> None:
    event = {
        "event": "x",
        "token": "canary",
        "ws_ticket": "canary",
        "nats_edge_password": "canary",
        "authorization": "canary",
        "signature": b"canary",
        "vps_id": "kept",
    }
    told = observability._redact(None, "info", event)
    assert "canary" not in str(told)
    assert told["vps_id"] == "kept"
