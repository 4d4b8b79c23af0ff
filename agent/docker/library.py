"""aiodocker and aiohttp, imported without the parts that a Unix socket does not need.

Importing this module costs 6 MB, which only hosts pay on which Docker commands are used. Every
module of the agent takes the two libraries from here, so that they are never imported in full.
"""

from agent.base.left_out import left_out

# 3 MB that the libraries load for proxies, uploads, archives, dates of cookies and host names
# that are not ASCII.
UNUSED = (
    "email.message",
    "email.parser",
    "email.policy",
    "email.utils",
    "idna",
    "unicodedata",
    "importlib.metadata",
    "mimetypes",
    "netrc",
    "tarfile",
    "tempfile",
    "urllib.request",
    "uuid",
)


with left_out(*UNUSED):
    import aiohttp
    from aiodocker import Docker, DockerError
    from aiohttp import ClientTimeout

__all__ = ["ClientTimeout", "Docker", "DockerError", "aiohttp"]
