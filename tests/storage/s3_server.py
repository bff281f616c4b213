"""moto's S3 server as a process, which keeps everything in memory, and a line to it that breaks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

PATIENCE_S = 60.0
READ_BYTES = 2**16


@dataclass
class Bucket:
    """A bucket, as its owner sees it."""

    name: str
    client: Any

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self) -> set[str]:
        return {item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])}

    def tag(self, value: str) -> None:
        """Give the bucket a tag, which a bucket that was deleted and made anew has not."""
        self.client.put_bucket_tagging(Bucket=self.name, Tagging={"TagSet": [{"Key": "made", "Value": value}]})

    @property
    def tags(self) -> list[dict[str, str]]:
        return self.client.get_bucket_tagging(Bucket=self.name)["TagSet"]


@dataclass
class S3Server:
    """A server that runs, the one user that it knows, and how to reach it."""

    url: str
    key: str = "planted"
    secret: str = "PLANTEDstorage0123456789"
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets for Snakemake's storage plugin."""
        return {
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": self.url,
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": self.key,
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": self.secret,
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}),
        )

    def new_bucket(self, name: str = "") -> Bucket:
        bucket = Bucket(name or f"bucket-{next(self.numbers)}", self.client("s3"))
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket

    @contextlib.contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Meanwhile let nobody in but a user with a key and a secret that the server has made."""
        policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
        iam = self.client("iam")
        user = f"user-{next(self.numbers)}"
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=user)["AccessKey"]
        known = self.key, self.secret
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
        self._let_in(0)
        try:
            yield
        finally:
            self._let_in(10**9)
            self.key, self.secret = known

    def _let_in(self, requests: int) -> None:
        """Check no credentials of this many requests."""
        address, plain = f"{self.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, data=str(requests).encode(), headers=plain)).close()


@contextlib.contextmanager
def running_s3(log: Path) -> Iterator[S3Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            _wait_for_port(port, process, log)
            yield S3Server(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text("utf-8")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"waited {PATIENCE_S:g} s for {port}: {log.read_text('utf-8')}")


@contextlib.contextmanager
def breaking_line(url: str, *, after_bytes: int) -> Iterator[str]:
    """An address that leads to `url` until so many bytes have passed in both directions; then nobody is there."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    open_ends: list[socket.socket] = [listener]
    left, lock = [after_bytes], threading.Lock()

    def forward(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(READ_BYTES):
                with lock:
                    left[0] -= len(content)
                if left[0] < 0:
                    hang_up()
                target.sendall(content)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def hang_up() -> None:
        for end in open_ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)))
                open_ends.extend((near, far))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=forward, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert left[0] < 0, f"the line did not break: {left[0]} of {after_bytes} bytes left"
    finally:
        hang_up()
