"""The workflow from a bucket to a bucket, through Snakemake's storage plugin and a real server."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bucket_project import ROOT, blocks, documented_config, packed, rules_of, run, snakemake, write_config
from s3_server import Bucket, S3Server, breaking_line

from xtts_framework.layout import RunFolder

pytestmark = pytest.mark.workflow

AT_ONCE = ("--storage-s3-retries", "1")
"""What breaks off here stays broken: no second attempt."""
NOBODY = "http://127.0.0.1:9"


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        return {member.name: members.extractfile(member).read() for member in members if member.isfile()}


def assert_secret_is_nowhere(secret: str, output: str, folder: Path) -> None:
    assert secret not in output
    assert [path for path, content in files_in(folder).items() if secret.encode() in content] == []


@dataclass(frozen=True)
class Documented:
    """The project of docs/storage.md after its last command, and the buckets beside it."""

    folder: Path
    server: S3Server
    corpora: Bucket
    voices: Bucket
    output: str

    def again(self, *arguments: str, **environment: str) -> str:
        result = snakemake(self.folder, *arguments, **(environment or self.server.environment))
        assert result.returncode == 0, result.stdout
        return result.stdout


@pytest.fixture(scope="module")
def documented(
    tmp_path_factory: pytest.TempPathFactory, server: S3Server, speech_dataset: Path, tiny_base: Path
) -> Documented:
    """Every command of the document has run: packing and unpacking, then the workflow with its exports."""
    folder = tmp_path_factory.mktemp("storage") / "project"
    write_config(folder, documented_config())
    shutil.copytree(tiny_base, folder / "base")
    install, workflow, pack, unpack = blocks("sh")
    assert "xtts-framework[s3]" in install, "what make setup has installed already"
    shutil.copytree(speech_dataset, folder / "data" / "amharic")
    for command in (pack, unpack):
        done = run(["bash", "-euc", command], folder)
        assert done.returncode == 0, done.stdout
    shutil.rmtree(folder / "data")
    corpora, voices = server.new_bucket("corpora"), server.new_bucket("voices")
    corpora.put("amharic.tar.gz", (folder / "amharic.tar.gz").read_bytes())
    voices.tag("by its owner")
    for shown, real in (
        ("https://s3.example.org", server.url),
        ("your-key", server.key),
        ("your-secret", server.secret),
        ("snakemake\n", f"snakemake --snakefile '{ROOT}/Snakefile' --configfile config.yaml\n"),
    ):
        assert shown in workflow
        workflow = workflow.replace(shown, real)
    done = run(["bash", "-euc", workflow], folder)
    assert done.returncode == 0, done.stdout
    return Documented(folder, server, corpora, voices, done.stdout)


def test_a_dataset_comes_from_a_bucket_and_a_bundle_goes_to_one(documented: Documented, speech_dataset: Path) -> None:
    stages = {"validate", "encode", "tokenize", "train", "select", "export", "synthesize", "report"}
    assert set(rules_of(documented.output)) - {"default"} == stages | {"fetch_amharic", "open_shelf", "publish"}
    for fetched in ("data/amharic", "unpacked"):
        assert files_in(documented.folder / fetched) == files_in(speech_dataset)
    run = RunFolder(documented.folder / "results" / "runs" / "first")
    assert documented.voices.keys() == {
        f"released/{name}" for name in ("README.txt", "first/bundle.tar", "first/report.html")
    }
    bundle = {f"bundle/{name}": content for name, content in files_in(run.bundle).items()}
    assert files_of(documented.voices.get("released/first/bundle.tar")) == bundle
    assert documented.voices.get("released/first/report.html") == run.report.read_bytes()


def test_transfers_leave_logs_and_benchmarks_and_no_copies(documented: Documented) -> None:
    results = documented.folder / "results"
    for stage, folder in (("fetch", results / "datasets/amharic"), ("publish", results / "runs/first")):
        assert (folder / f"logs/{stage}.log").is_file()
        assert (folder / f"benchmarks/{stage}.tsv").is_file()
    assert "unpacked" in (results / "datasets/amharic/logs/fetch.log").read_text("utf-8")
    assert files_in(documented.folder / ".snakemake" / "storage") == {}


def test_no_secret_is_in_anything_that_the_transfers_left(documented: Documented) -> None:
    assert_secret_is_nowhere(documented.server.secret, documented.output, documented.folder)


def test_a_second_snakemake_has_nothing_to_do_and_looks_at_no_source(documented: Documented) -> None:
    documented.corpora.client.delete_object(Bucket="corpora", Key="amharic.tar.gz")
    assert "Nothing to be done" in documented.again()


def test_a_changed_run_is_published_again_also_when_its_upload_breaks_off(documented: Documented) -> None:
    """The bucket stays what it is, it never holds half an archive, and nothing is trained twice."""
    server, voices = documented.server, documented.voices
    before = files_of(voices.get("released/first/bundle.tar"))
    config = documented_config()
    config["runs"]["first"]["training"]["learning_rate"] = 5.0e-4
    write_config(documented.folder, config)
    with breaking_line(server.url, after_bytes=5_000_000) as url:
        broken = {**server.environment, "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": url}
        result = snakemake(documented.folder, *AT_ONCE, **broken)
    assert result.returncode != 0
    assert rules_of(result.stdout) == ["train", "select", "export", "synthesize", "report", "publish"]
    assert re.search(r"Failed to .* s3://voices/released/first/bundle\.tar", result.stdout)
    assert voices.keys() == {"released/README.txt"}
    assert_secret_is_nowhere(server.secret, result.stdout, documented.folder)

    assert [rule for rule in rules_of(documented.again()) if rule != "default"] == ["publish"]
    after = files_of(voices.get("released/first/bundle.tar"))
    assert after != before
    assert after["bundle/bundle.json"] == (documented.folder / "results/runs/first/bundle/bundle.json").read_bytes()
    assert voices.tags == [{"Key": "made", "Value": "by its owner"}]


@pytest.fixture
def project(tmp_path: Path, tiny_base: Path) -> Path:
    """A project whose dataset is still to come, and which publishes nothing."""
    write_config(tmp_path / "project", without_publish(documented_config()))
    (tmp_path / "project" / "base").symlink_to(tiny_base)
    return tmp_path / "project"


def without_publish(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "publish"}


def with_source(project: Path, bucket: Bucket, key: str = "amharic.tar.gz") -> None:
    config = without_publish(documented_config())
    config["datasets"]["amharic"]["source"] = f"s3://{bucket.name}/{key}"
    write_config(project, config)


def assert_refused(project: Path, server: S3Server, address: str, *reasons: str, **environment: str) -> None:
    """Nothing runs, the message says what and where, and nothing was made."""
    result = snakemake(project, *AT_ONCE, "--until", "validate", **{**server.environment, **environment})
    assert result.returncode != 0
    assert rules_of(result.stdout) == []
    assert address in result.stdout
    for reason in reasons:
        assert reason in result.stdout
    assert "Traceback" not in result.stdout
    assert not (project / "data").exists()
    assert_secret_is_nowhere(environment.get("SNAKEMAKE_STORAGE_S3_SECRET_KEY", server.secret), result.stdout, project)


def test_a_source_that_is_not_there_is_named(project: Path, server: S3Server) -> None:
    with_source(project, server.new_bucket(), "gone.zip")
    assert_refused(project, server, "/gone.zip", "does not exist", "Correct `source`")


def test_a_server_that_is_not_there_is_named(project: Path, server: S3Server) -> None:
    address = {"SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": NOBODY}
    reasons = ("cannot be read", "Could not connect", NOBODY, "Check the address, the endpoint and the credentials")
    assert_refused(project, server, "s3://corpora/amharic.tar.gz", *reasons, **address)


@pytest.mark.parametrize("wrong", ["ACCESS_KEY", "SECRET_KEY"])
def test_wrong_credentials_are_told_from_a_missing_object(wrong: str, project: Path, server: S3Server) -> None:
    bucket = server.new_bucket()
    bucket.put("amharic.tar.gz", b"x")
    with_source(project, bucket)
    with server.checking_credentials():
        credentials = {f"SNAKEMAKE_STORAGE_S3_{wrong}": "WRONGsecret0123456789"}
        assert_refused(project, server, bucket.name, "cannot be read", "403", **credentials)


def test_where_nothing_may_be_published_is_said_before_any_job(
    project: Path, server: S3Server, speech_dataset: Path
) -> None:
    config = documented_config() | {"publish": f"s3://{server.new_bucket().name}/released"}
    config["datasets"]["amharic"] = {"path": str(speech_dataset), "language": "am"}
    write_config(project, config)
    with server.checking_credentials():
        wrong = server.environment | {"SNAKEMAKE_STORAGE_S3_SECRET_KEY": "WRONGsecret0123456789"}
        assert_refused(project, server, f"{config['publish']}/README.txt", "cannot be read", "403", **wrong)


def test_right_credentials_are_let_in_and_odd_names_are_names(
    project: Path, server: S3Server, speech_dataset: Path
) -> None:
    """Guards the test above."""
    bucket, odd = server.new_bucket(), """it's "odd" $(touch MARKER) é"""
    bucket.put("$(touch;MARKER)'ሰላም.tgz", packed(speech_dataset))
    config = without_publish(documented_config())
    config["runs"]["first"]["datasets"] = ["0.-_d"]
    config["datasets"] = {"0.-_d": config["datasets"]["amharic"]}
    config["datasets"]["0.-_d"] |= {"path": odd, "source": f"s3://{bucket.name}/$(touch;MARKER)'ሰላም.tgz"}
    write_config(project, config)
    with server.checking_credentials():
        done = snakemake(project, "--until", "fetch_0.-_d", **server.environment)
    assert done.returncode == 0, done.stdout
    assert files_in(project / odd) == files_in(speech_dataset)
    assert list(project.rglob("MARKER")) == []


def test_a_download_that_breaks_off_leaves_nothing_and_is_done_again(
    project: Path, server: S3Server, speech_dataset: Path
) -> None:
    bucket = server.new_bucket()
    bucket.put("amharic.tar.gz", packed(speech_dataset, top="amharic"))
    with_source(project, bucket)
    with breaking_line(server.url, after_bytes=1_000_000) as url:
        broken = {**server.environment, "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": url}
        result = snakemake(project, *AT_ONCE, "--until", "fetch_amharic", **broken)
    assert result.returncode != 0
    assert f"s3://{bucket.name}/amharic.tar.gz" in result.stdout
    assert not (project / "data/amharic/metadata.csv").exists()
    assert_secret_is_nowhere(server.secret, result.stdout, project)
    again = snakemake(project, "--until", "fetch_amharic", **server.environment)
    assert again.returncode == 0, again.stdout
    assert rules_of(again.stdout) == ["fetch_amharic"]
    assert files_in(project / "data/amharic") == files_in(speech_dataset)


def test_a_hostile_archive_fails_its_job_and_leaves_nothing(project: Path, server: S3Server) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("metadata.csv"))
        archive.addfile(tarfile.TarInfo("../../outside"))
    bucket = server.new_bucket()
    bucket.put("amharic.tar.gz", content.getvalue())
    with_source(project, bucket)
    result = snakemake(project, "--until", "validate", **server.environment)
    assert result.returncode != 0
    assert "'../../outside' leads out of the archive" in result.stdout
    assert files_in(project / "data") == {}
    assert not (project / "outside").exists()
    assert not (project.parent / "outside").exists()


def test_what_the_user_has_there_is_used_or_refused_but_never_replaced(
    project: Path, server: S3Server, speech_dataset: Path
) -> None:
    bucket = server.new_bucket()
    bucket.put("amharic.tar.gz", packed(speech_dataset))
    with_source(project, bucket)
    mine = project / "data" / "amharic" / "wavs" / "mine.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    refused = snakemake(project, "--until", "validate", **server.environment)
    assert refused.returncode != 0
    assert "holds something, but no metadata.csv" in refused.stdout
    assert files_in(project / "data") == {"amharic/wavs/mine.wav": b"mine"}
    (project / "data" / "amharic" / "metadata.csv").write_text("mine.wav|ሰላም\n", encoding="utf-8")
    used = snakemake(project, "--dry-run", "--until", "validate", SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=NOBODY)
    assert used.returncode == 0, used.stdout
    assert rules_of(used.stdout) == ["validate"]


WITHOUT_PLUGIN = """
import pkgutil, sys
found = pkgutil.iter_modules
pkgutil.iter_modules = lambda *a: (m for m in found(*a) if not m.name.startswith("snakemake_storage_plugin"))
sys.modules["boto3"] = None
from snakemake.cli import main
main()
"""


def snakemake_without_plugin(project: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml", "--dry-run"]
    return run([sys.executable, "-c", WITHOUT_PLUGIN, *arguments], project)


def test_without_source_and_publish_no_plugin_is_needed(project: Path, speech_dataset: Path) -> None:
    config = without_publish(documented_config())
    del config["datasets"]["amharic"]["source"]
    config["datasets"]["amharic"]["path"] = str(speech_dataset)
    write_config(project, config)
    planned = snakemake_without_plugin(project)
    assert planned.returncode == 0, planned.stdout
    assert set(rules_of(planned.stdout)) & {"fetch_amharic", "open_shelf", "publish"} == set()
    assert re.search(r"^report +1$", planned.stdout, re.MULTILINE)


def test_a_missing_plugin_is_named_with_its_remedy(project: Path) -> None:
    refused = snakemake_without_plugin(project)
    assert refused.returncode != 0
    assert 'pip install "xtts-framework[s3]"' in refused.stdout
    assert "Traceback" not in refused.stdout
