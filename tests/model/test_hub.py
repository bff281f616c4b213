"""Fetching a base, against a real local server of the hub's form and the real command."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from xtts_framework.files import sha256_of
from xtts_framework.model.base import BASE_FILES, read_base

REPOSITORY = "coqui/XTTS-v2"
REVISION = "6c2b0d75eae4b7047358e3b6bd9325f857d43f77"
MEGABYTE = 2**20


@dataclass
class Hub:
    """What the server serves and what it was asked for.

    Args:
        cut_after: file -> bytes after which the connection breaks, once.
        stalled: file -> bytes after which nothing more comes until `resume` is set.
        damaged: files of which one byte arrives wrong.
        requests: (file, Range header) in the order they came.
    """

    folder: Path
    endpoint: str = ""
    cut_after: dict[str, int] = field(default_factory=dict)
    stalled: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    resume: threading.Event = field(default_factory=threading.Event)

    def siblings(self) -> list[dict[str, object]]:
        listed = []
        for path in sorted(self.folder.iterdir()):
            content = path.read_bytes()
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry: dict[str, object] = {"rfilename": path.name, "size": len(content), "blobId": blob}
            if path.suffix == ".pth":
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            listed.append(entry)
        return [entry for entry in listed if entry["rfilename"] not in self.unlisted]


def handler_for(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == f"/api/models/{REPOSITORY}/revision/{REVISION}":
                self.reply_json({"id": REPOSITORY, "sha": REVISION, "siblings": hub.siblings()})
            elif path.startswith(f"/{REPOSITORY}/resolve/{REVISION}/") and path.endswith(".pth"):
                # Large files live elsewhere, as on the real hub.
                name = path.rpartition("/")[2]
                self.send_response(302)
                self.send_header("Location", f"{hub.endpoint}/cdn/{name}")
                self.send_header("X-Repo-Commit", REVISION)
                self.send_header("X-Linked-Size", str((hub.folder / name).stat().st_size))
                self.send_header("X-Linked-Etag", f'"{sha256_of(hub.folder / name)}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path.startswith((f"/{REPOSITORY}/resolve/{REVISION}/", "/cdn/")):
                self.reply_file(path.rpartition("/")[2])
            else:
                self.send_error(404)

        def reply_json(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def reply_file(self, name: str) -> None:
            asked = self.headers.get("Range")
            hub.requests.append((name, asked))
            content = (hub.folder / name).read_bytes()
            if name in hub.damaged:
                middle = len(content) // 2
                content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            body = content[start:]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            cut = hub.cut_after.pop(name, None)
            stall = hub.stalled.pop(name, None)
            if cut is not None:
                self.wfile.write(body[:cut])
                self.close_connection = True
                return
            if stall is not None:
                self.wfile.write(body[:stall])
                self.wfile.flush()
                hub.resume.wait(60)
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def hub(tiny_base: Path) -> Iterator[Hub]:
    served = Hub(tiny_base)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(served))
    served.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served
    served.resume.set()
    server.shutdown()
    server.server_close()


def start_fetch(hub: Hub, out: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment.pop(proxy, None)
    command = [str(Path(sys.executable).parent / "xtts"), "base", "fetch", "xtts-v2", "--out", str(out), *arguments]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def fetch(hub: Hub, out: Path, *arguments: str, answer: str = "") -> tuple[int, str]:
    process = start_fetch(hub, out, *arguments)
    stdout, stderr = process.communicate(answer, timeout=120)
    return process.returncode, stdout + stderr


def test_a_base_arrives_whole_and_the_licence_is_shown(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "bases" / "xtts-v2"
    status, output = fetch(hub, out, answer="y\n")
    assert status == 0, output
    assert "non-commercial" in output
    assert sorted(path.name for path in out.iterdir()) == sorted(BASE_FILES)
    for name in BASE_FILES:
        assert sha256_of(out / name) == sha256_of(hub.folder / name)
    assert read_base(out).features_key == read_base(hub.folder).features_key
    assert [path.name for path in out.parent.iterdir()] == ["xtts-v2"], "nothing else may remain beside the base"

    hub.requests.clear()
    status, output = fetch(hub, out, "--accept-license")
    assert status == 0 and "already there" in output
    assert not hub.requests, "a complete base is checked, not fetched again"


def test_nothing_is_fetched_without_consent(hub: Hub, tmp_path: Path) -> None:
    status, output = fetch(hub, tmp_path / "base", answer="n\n")
    assert status != 0
    assert "not accepted" in output
    assert not hub.requests
    assert list(tmp_path.iterdir()) == []


def test_a_broken_connection_is_resumed_with_a_range_request(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after["model.pth"] = 25 * MEGABYTE
    out = tmp_path / "base"
    status, output = fetch(hub, out, "--accept-license")
    assert status == 0, output
    ranges = [asked for name, asked in hub.requests if name == "model.pth"]
    assert ranges[0] is None
    assert [asked is not None and int(asked[6:].rstrip("-")) > 0 for asked in ranges[1:]] == [True]
    assert sha256_of(out / "model.pth") == sha256_of(hub.folder / "model.pth")


def test_a_killed_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.stalled["model.pth"] = 35 * MEGABYTE
    out = tmp_path / "base"
    process = start_fetch(hub, out, "--accept-license")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size >= 20 * MEGABYTE for path in tmp_path.glob(".partial-*/model.pth.arriving")):
        assert process.poll() is None and time.monotonic() < deadline, "the download did not get going"
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert not out.exists(), "a partial folder must not look like a base"

    hub.requests.clear()
    status, output = fetch(hub, out, "--accept-license")
    assert status == 0, output
    assert [name for name, _ in hub.requests] == ["model.pth"], "complete files are not fetched twice"
    (asked,) = [asked for _, asked in hub.requests]
    assert asked is not None and int(asked[6:].rstrip("-")) >= 20 * MEGABYTE
    assert sha256_of(out / "model.pth") == sha256_of(hub.folder / "model.pth")


@pytest.mark.parametrize("name", ["dvae.pth", "vocab.json"])
def test_a_damaged_file_is_refused_by_name_and_fetched_again(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.damaged.add(name)
    out = tmp_path / "base"
    status, output = fetch(hub, out, "--accept-license")
    assert status == 1
    assert name in output and "the hub states" in output and "Traceback" not in output
    assert not out.exists()

    hub.damaged.clear()
    status, output = fetch(hub, out, "--accept-license")
    assert status == 0, output
    assert sha256_of(out / name) == sha256_of(hub.folder / name)


def test_a_changed_base_is_reported_file_by_file_and_left_alone(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "base"
    assert fetch(hub, out, "--accept-license")[0] == 0
    (out / "config.json").write_text("{}")
    (out / "mel_stats.pth").unlink()
    status, output = fetch(hub, out, "--accept-license")
    assert status == 1
    assert "config.json: 2 bytes" in output and "mel_stats.pth: missing" in output
    assert (out / "config.json").read_text() == "{}"


def test_a_repository_without_the_files_is_named(hub: Hub, tmp_path: Path) -> None:
    hub.unlisted = {"dvae.pth", "vocab.json"}
    status, output = fetch(hub, tmp_path / "base", "--accept-license")
    assert status == 1
    assert "it lacks dvae.pth, vocab.json" in output


def test_an_unreachable_hub_is_a_message(tmp_path: Path, hub: Hub) -> None:
    nowhere = Hub(hub.folder, endpoint="http://127.0.0.1:9")
    status, output = fetch(nowhere, tmp_path / "base", "--accept-license")
    assert status == 1
    assert "http://127.0.0.1:9" in output and "Run the command again" in output and "Traceback" not in output


def test_another_revision_of_the_configuration_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"hub:\n  repository: {REPOSITORY}\n  revision: '{'0' * 40}'\n"
        "datasets:\n  d:\n    path: d\n    language: am\nruns:\n  r:\n    datasets: [d]\n"
    )
    status, output = fetch(hub, tmp_path / "base", "--accept-license", "--config", str(config))
    assert status == 1
    assert "404" in output and REPOSITORY in output
