import pytest

from agent.docker.redaction import MASK, is_secret, redact_text, redact_value, redact_words

CANARY = "canary-7f3a9e"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "x"),
        ("API_TOKEN", "x"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AUTHORIZATION", "x"),
        ("SESSION_SALT", "x"),
        ("DATABASE_URL", f"postgres://app:{CANARY}@db.example/app"),
        ("REDIS", f"redis://:{CANARY}@cache/0"),
        ("CONNECTION", f"Server=db;Pwd={CANARY};Database=app"),
        ("JAVA_OPTS", f"-Xmx1g -Dkeystore.password={CANARY}"),
        ("MYSQL_PWD", "x"),
        ("DB_PW", "x"),
        ("ROOTPW", "x"),
        ("DB_PW2", "x"),
        ("APP_JWT", "x"),
        ("GITLAB_PAT", "x"),
        ("WIFI_PSK", "x"),
        ("OPTS", f"user=app pw={CANARY} timeout=3"),
        ("START", f"mysql -u root -p {CANARY} app"),
        ("START", f"curl -u app:{CANARY} https://example/a"),
        ("PEM", f"-----BEGIN RSA PRIVATE KEY----- {CANARY}"),
    ],
)
def test_a_variable_is_secret_by_its_name_or_its_value(name: str, value: str) -> None:
    assert is_secret(name, value)
    assert CANARY not in redact_text(value)


TOKENS = [
    "ghp_" + "aB3dE5fG7h" * 4,
    "github_pat_" + "11ABCDEFG0aBcDeFgH" * 2,
    "glpat-" + "x9Yz8Wv7Ut6Sr5Qp4On3",
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "sk-proj-" + "Zx8Yw7Vu6Ts5Rq4Po3Nm2Lk1",
    "xoxb-" + "123456789012-abcDEF123456ghiJKL",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "dGhpcyBpcyBub3QgYSBzZWNyZXQ0Mnh5emFiY2Q=",
    "q8Zt3LmX0vBn7KwPs2RdYf5Hj",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "use {} now", "https://example/?a={}&b=1", "'{}'"])
def test_a_token_is_secret_whatever_its_name(token: str, around: str) -> None:
    value = around.format(token)
    assert is_secret("SETTING", value)
    assert token not in redact_text(value)
    assert redact_value("org.example.note", value) == redact_text(value)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["mysql", "-p", CANARY], ["mysql", "-p", MASK]),
        (["mysql", f"-p{CANARY}"], ["mysql", f"-p{MASK}"]),
        (["sh", "-c", f"mysql -p '{CANARY}' app"], ["sh", "-c", f"mysql -p {MASK} app"]),
        (["curl", "-u", f"app:{CANARY}"], ["curl", "-u", f"app:{MASK}"]),
        (["ssh", "-p", "2222", "host"], ["ssh", "-p", "2222", "host"]),
        (["run", "-p", "127.0.0.1:80:80/tcp"], ["run", "-p", "127.0.0.1:80:80/tcp"]),
        (["serve", "-p8080", "-path", "-u", "www"], ["serve", "-p8080", "-path", "-u", "www"]),
    ],
)
def test_a_short_option_holds_a_password_or_a_port(words: list[str], shown: list[str]) -> None:
    assert redact_words(words) == shown


def test_a_label_is_masked_by_its_name_or_its_value() -> None:
    assert redact_value("traefik.http.middlewares.a.basicauth.users", "app:$apr1$x") == MASK
    assert redact_value("backup.db_pw", CANARY) == MASK
    assert redact_value("backup.url", f"s3://app:{CANARY}@host/b") == f"s3://{MASK}@host/b"
    assert redact_value("backup.token", "") == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANG", "C.UTF-8"),
        ("URL", "https://example/a"),
        ("PWD", "/srv/app"),
        ("org.opencontainers.image.authors", "a@example"),
        ("org.opencontainers.image.revision", "9fceb02d0ae598e95dc970b74767f19372d61af8"),
        ("PYTHON_VERSION", "3.13.1"),
        ("PATTERN", "app-production-eu-west-1"),
        ("DIALECT", "org.hibernate.dialect.PostgreSQL95Dialect"),
        ("NAME", "com.docker.compose.project.working_dir"),
        ("SPIN", "1"),
    ],
)
def test_other_variables_are_not_secret(name: str, value: str) -> None:
    assert not is_secret(name, value)
    assert redact_text(value) == value


def test_a_url_keeps_its_address() -> None:
    assert redact_text(f"postgres://app:{CANARY}@db/app") == f"postgres://{MASK}@db/app"


def test_the_value_of_an_option_may_be_the_next_word() -> None:
    words = ["run", "--admin-password", CANARY, f"--api-token={CANARY}", "plain"]

    assert redact_words(words) == ["run", "--admin-password", MASK, f"--api-token={MASK}", "plain"]


def test_a_very_long_text_is_redacted() -> None:
    assert CANARY not in redact_text(f"http://{'u' * 100_000}:{CANARY}@host/")
