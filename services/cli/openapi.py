import argparse
import json

from services.gateway.app import create_app
from services.gateway.openapi import document


def run(_arguments: argparse.Namespace) -> int:
    print(json.dumps(document(create_app(None)), indent=2, ensure_ascii=False))
    return 0
