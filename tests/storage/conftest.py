"""A real S3 server of our own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from s3_server import S3Server, running_s3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3") / "server.log") as server:
        yield server
