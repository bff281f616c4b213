"""The part of OSV's API that pip-audit asks for, over HTTP: one weakness of one version of one package."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Osv:
    """A running server.

    Args:
        url: for `--osv-url`.
        weak: (package, version) that has a weakness.
        status: HTTP status of all answers.
        asked: (package, version) of every question.
    """

    url: str = ""
    weak: tuple[str, str] = ("", "")
    status: int = 200
    asked: set[tuple[str, str]] = field(default_factory=set)

    def answer(self, name: str, version: str) -> dict[str, object]:
        self.asked.add((name, version))
        if (name, version) != self.weak:
            return {}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.1"}]}]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
        return {"vulns": [{"id": "PYSEC-2026-1", "summary": "a weakness", "affected": affected}]}


@contextmanager
def running_osv() -> Iterator[Osv]:
    """A server until the end of the block."""
    osv = Osv()

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(osv.answer(question["package"]["name"], question["version"])).encode()
            self.send_response(osv.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Questions are recorded."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    osv.url = f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield osv
    finally:
        server.shutdown()
        server.server_close()
