"""Secrets that are planted where people keep theirs turn up in nothing that is written or printed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars
import pytest
from odd_workflow import SECRETS, OddWorkflow, xtts
from planted_secrets import find_secrets

from xtts_framework.model.hub import without_secrets

TOKEN = SECRETS["HF_TOKEN"]
PASSWORD, SIGNATURE = "PLANTEDpassword0123456789", "PLANTEDsignature0123456789"
PLANTED = [TOKEN, PASSWORD, SECRETS["AWS_SECRET_ACCESS_KEY"], SECRETS["SNAKEMAKE_STORAGE_S3_SECRET_KEY"]]


@pytest.mark.workflow
def test_no_secret_is_in_anything_that_the_workflow_left(odd_workflow: OddWorkflow) -> None:
    kinds = {path.suffix for path in odd_workflow.folder.rglob("*") if path.is_file()}
    assert kinds >= {
        ".log",
        ".tsv",
        ".yaml",
        ".json",
        ".jsonl",
        ".html",
        ".md",
        ".csv",
        ".parquet",
        ".pth",
        ".safetensors",
    }
    assert any(path.name.startswith("events.out.tfevents") for path in odd_workflow.project.rglob("*"))
    assert list((odd_workflow.project / ".snakemake" / "metadata").iterdir())
    assert find_secrets(odd_workflow.folder, PLANTED) == []


def test_a_secret_is_found_wherever_it_is(tmp_path: Path) -> None:
    """Guards the guard."""
    secret = PASSWORD
    (tmp_path / "plain.log").write_text(f"x{secret}y")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(secret.encode()))
    with zipfile.ZipFile(tmp_path / "model.pth", "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("data.pkl", secret)
    polars.DataFrame({"a": [[{"b": f"{secret}{index}"}] for index in range(9)]}).write_parquet(tmp_path / "t.parquet")
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "m.parquet", metadata={"k": secret})
    (tmp_path / secret).touch()
    for offset in range(3):
        (tmp_path / f"encoded{offset}").write_bytes(base64.b64encode(b"-" * offset + secret.encode() + b"--"))
    found = {Path(line.rpartition(": ")[0]).name for line in find_secrets(tmp_path, [secret])}
    assert found == {path.name for path in tmp_path.iterdir()}


@dataclass
class RefusingHub:
    """A hub that lists a base, and sends for its files to a storage, another host, that refuses or breaks off.

    Args:
        tokens: what the hub and the storage were sent as `Authorization`.
        breaks_off: the storage sends half of each file.
    """

    hub: str = ""
    storage: str = ""
    tokens: dict[str, list[str]] = field(default_factory=lambda: {"hub": [], "storage": []})
    breaks_off: bool = False


CONTENT = b"0" * 2000


def handler_for(served: RefusingHub, role: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.tokens[role].append(self.headers.get("Authorization", ""))
            if role == "storage" and not served.breaks_off:
                self.send_error(403)
            elif role == "storage":
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT[:1000])
            elif "/api/models/" in self.path:
                self.reply_list()
            else:
                self.send_response(302)
                self.send_header("Location", f"{served.storage}/file?X-Amz-Signature={SIGNATURE}")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def reply_list(self) -> None:
            lfs = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT), "pointerSize": 134}
            names = ["model.pth", "dvae.pth", "mel_stats.pth", "vocab.json", "config.json", "speakers_xtts.pth"]
            siblings = [{"rfilename": name, "size": len(CONTENT), "blobId": "0" * 40, "lfs": lfs} for name in names]
            body = json.dumps({"id": "coqui/XTTS-v2", "sha": "0" * 40, "siblings": siblings}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def refusing_hub() -> Iterator[RefusingHub]:
    served = RefusingHub()
    servers = []
    for role in ("hub", "storage"):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(served, role))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        setattr(served, role, f"http://127.0.0.1:{server.server_address[1]}")
        servers.append(server)
    yield served
    for server in servers:
        server.shutdown()
        server.server_close()


def fetch(endpoint: str, folder: Path, *arguments: str) -> str:
    """What a fetch that cannot succeed prints; the token is in its environment."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "")
    environment = proxies | {"HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = ("base", "fetch", "xtts-v2", "--accept-license", "--out", "base")
    done = xtts(*command, *arguments, cwd=folder, HOME=str(folder), **environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("breaks_off", [False, True])
def test_a_refused_download_shows_no_secret(refusing_hub: RefusingHub, tmp_path: Path, breaks_off: bool) -> None:
    refusing_hub.breaks_off = breaks_off
    printed = fetch(refusing_hub.hub.replace("//", f"//planted:{PASSWORD}@"), tmp_path)
    assert "stopped" in printed
    assert refusing_hub.hub in printed, "the address is named, without its password"
    assert "PLANTED" not in printed
    assert find_secrets(tmp_path, [TOKEN, PASSWORD, SIGNATURE]) == []


def test_the_token_is_for_the_hub_alone(refusing_hub: RefusingHub, tmp_path: Path) -> None:
    fetch(refusing_hub.hub, tmp_path)
    assert refusing_hub.tokens["hub"][-1] == f"Bearer {TOKEN}"
    assert refusing_hub.tokens["storage"]
    assert not any(refusing_hub.tokens["storage"]), "where the hub sends for the file, it is not shown"


@pytest.mark.parametrize(
    "endpoint",
    [
        f"http://planted:{PASSWORD}@127.0.0.1:9/?token={PASSWORD}",
        f"http://planted:{PASSWORD}@[bad",
        f"http://planted:{PASSWORD}@127.0.0.1:port",
        f"http://planted:{PASSWORD}@two@127.0.0.1:9",
        f"http://planted:{PASSWORD}/two@127.0.0.1:9",
        f"http://127.0.0.1:9/{PASSWORD}@two",
    ],
)
def test_an_address_that_is_wrong_shows_no_secret(endpoint: str, tmp_path: Path) -> None:
    assert "PLANTED" not in fetch(endpoint, tmp_path)


def test_a_repository_that_is_an_address_shows_no_secret(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    hub = {"repository": f"https://planted:{PASSWORD}@host/model"}
    config.write_text(json.dumps({"hub": hub, "datasets": {}, "runs": {}}), encoding="utf-8")
    printed = fetch("http://127.0.0.1:9", tmp_path, "--config", str(config))
    assert "https://host/model" in printed
    assert "PLANTED" not in printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("for url 'https://a:b@host/x?sig=1&t=2' (403)", "for url 'https://host/x' (403)"),
        ("https://token@host:8080/x", "https://host:8080/x"),
        ("http://a@b@host is down. What now?", "http://host is down. What now?"),
        ("me@example.org asks: is it there?", "me@example.org asks: is it there?"),
    ],
)
def test_addresses_lose_their_secrets_and_nothing_else(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
