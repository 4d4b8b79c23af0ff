"""Keeps secrets out of what is told of a container: too much rather than too little."""

import re

MASK = "***"

# Repetitions are bounded, since texts are as long as their authors like.
_WORDS = r"pass|secret|token|key|credential|private|auth|dsn|cookie|salt|session"
_NAME = rf"(?:{_WORDS}|pwd)[\w.-]{{0,64}}"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s;,&]+)"
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_ASSIGNMENT = re.compile(
    rf"({_NAME}[\"']?\s{{0,8}}[=:]\s{{0,8}}|-{_NAME}\s{{1,8}}){_VALUE}", re.IGNORECASE
)
_OPTION = re.compile(rf"-[\w.-]{{0,64}}{_NAME}", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----")
_WORD = re.compile(r"\S+")


def is_secret(name: str, value: str) -> bool:
    return bool(_SECRET_NAME.search(name)) or masked_text(value) != value


def masked_text(text: str) -> str:
    if _PRIVATE_KEY.search(text):
        return MASK
    return _ASSIGNMENT.sub(rf"\1{MASK}", _WORD.sub(_without_user, text))


def masked_words(words: list[str]) -> list[str]:
    """A command, in which an option's value may be the next word."""
    before = ["", *words[:-1]]
    return [
        MASK if _OPTION.fullmatch(option) else masked_text(word)
        for option, word in zip(before, words, strict=True)
    ]


def _without_user(word: re.Match[str]) -> str:
    """A URL keeps its address and loses who uses it."""
    scheme, slashes, rest = word[0].partition("://")
    user, at, address = rest.rpartition("@")
    return f"{scheme}{slashes}{MASK}{at}{address}" if user else word[0]
