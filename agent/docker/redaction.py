"""Removal of secrets from the details of a container. In doubt, a text is removed."""

import math
import re
from collections import Counter

MASK = "***"

# Repetitions are bounded, so that matching stays fast on long texts.
_WORDS = (
    r"pass|secret|token|key|credential|private|auth(?!ors?(?![a-z]))|dsn|cookie|salt|session|jwt|bearer"
    r"|mnemonic|webhook"
)
# Short words must be a part of a name or end it: DB_PW, MYSQL_PWD, ROOTPW, GITLAB_PAT.
_SHORT = r"pwd?\d{0,2}|psk|(?<![a-z])(?:pat|pin|otp|totp|sas|creds?)"
_NAME = rf"(?:(?:{_WORDS}|pwd)[\w.-]{{0,64}}|(?:{_SHORT}))"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s;,&]+)"
_SECRET_NAME = re.compile(rf"{_WORDS}|(?:{_SHORT})(?![a-z])", re.IGNORECASE)
# Directories that shells put into the environment.
_PLAIN_NAMES = frozenset(("PWD", "OLDPWD"))
_ASSIGNMENT = re.compile(
    rf"({_NAME}[\"']?\s{{0,8}}[=:]\s{{0,8}}|-{_NAME}\s{{1,8}}){_VALUE}", re.IGNORECASE
)
_OPTION = re.compile(rf"-[\w.-]{{0,64}}{_NAME}", re.IGNORECASE)
# `-p` is the password of some programs and the port of others; `-u` may hold user and password.
_PORT = r"[\d.:-]+(?:/[a-z]+)?(?![^\s\"';|&])"
_SHORT_OPTION = re.compile(
    rf"(?<![\w-])(-p\s{{1,8}}(?!{_PORT})|-u\s{{0,8}}[^\s:]{{1,64}}:){_VALUE}"
)
# `-p` joined with its value. The value must contain a character that names of options do not have.
_JOINED_OPTION = re.compile(rf"(?<![\w-])-p(?!{_PORT})(?=[a-zA-Z-]*[^a-zA-Z\s=-])[^\s=]{{3,}}")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----")
_WORD = re.compile(r"\S+")
# Tokens that programs issue. They have a prefix that names their kind, or look random.
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"[a-z]{2,10}[_-](?:[a-z]{2,8}[_-])?(?=[A-Za-z0-9_-]*\d)[A-Za-z0-9]{16,}[\w-]*"
    r"|(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}"
    r"|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"
    r")"
)
_RANDOM = re.compile(r"[A-Za-z0-9+_-]{24,}={0,2}")
_RANDOM_BITS = 3.8  # per character; words and names have less


def is_secret(name: str, value: str) -> bool:
    return is_secret_name(name) or redact_text(value) != value


def is_secret_name(name: str) -> bool:
    return name not in _PLAIN_NAMES and bool(_SECRET_NAME.search(name))


def redact_text(text: str) -> str:
    if _PRIVATE_KEY.search(text):
        return MASK
    text = _ASSIGNMENT.sub(rf"\1{MASK}", _WORD.sub(_redact_user, text))
    text = _JOINED_OPTION.sub(f"-p{MASK}", _SHORT_OPTION.sub(rf"\1{MASK}", text))
    return _RANDOM.sub(_redact_random, _ISSUED.sub(MASK, text))


def redact_value(name: str, value: str) -> str:
    """Redact the value of a name, such as a label."""
    return MASK if value and is_secret_name(name) else redact_text(value)


def redact_words(words: list[str]) -> list[str]:
    """Redact a command line, in which the value of an option may be the next word."""
    before = ["", *words[:-1]]
    return [
        MASK if _OPTION.fullmatch(option) else _redact_word(option, word)
        for option, word in zip(before, words, strict=True)
    ]


def _redact_word(option: str, word: str) -> str:
    if option in ("-p", "-u"):
        return redact_text(f"{option} {word}").removeprefix(f"{option} ")
    return redact_text(word)


def _redact_user(word: re.Match[str]) -> str:
    """Replace user and password of a URL."""
    scheme, slashes, rest = word[0].partition("://")
    user, at, address = rest.rpartition("@")
    return f"{scheme}{slashes}{MASK}{at}{address}" if user else word[0]


def _redact_random(word: re.Match[str]) -> str:
    text = word[0]
    kinds = (str.islower, str.isupper, str.isdigit)
    if not all(any(map(kind, text)) for kind in kinds):
        return text
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    return MASK if bits > _RANDOM_BITS else text
