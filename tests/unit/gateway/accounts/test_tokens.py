from uuid import uuid4

import jwt
from pydantic import SecretStr

from services.gateway.accounts import tokens
from services.gateway.accounts.tokens import Claims

KEY = SecretStr("kJ8s0vT2qLx9ZbWm4RcYd1Gh7NfPe3Ua")
CLAIMS = Claims(uuid4(), uuid4())


def test_a_token_names_its_user_and_forged_tokens_are_refused() -> None:
    token = tokens.issue_token(KEY, CLAIMS)
    assert tokens.read_token(KEY, token) == CLAIMS
    payload = jwt.decode(token, options={"verify_signature": False})
    secret = KEY.get_secret_value()
    for forged in (
        jwt.encode(payload, "", "none"),
        jwt.encode(payload, "x" * 40, "HS256"),
        jwt.encode(payload | {"aud": "other"}, secret, "HS256"),
        jwt.encode(payload | {"iss": "other"}, secret, "HS256"),
        jwt.encode(payload | {"exp": 1}, secret, "HS256"),
        jwt.encode({k: v for k, v in payload.items() if k != "exp"}, secret, "HS256"),
        jwt.encode(payload | {"sid": "x"}, secret, "HS256"),
        jwt.encode(payload | {"sid": 5}, secret, "HS256"),
        token[:-2],
        "",
        "…",
    ):
        assert tokens.read_token(KEY, forged) is None
