"""Plugins are found, and those that do not work are named and harm nobody else."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from xtts_framework.config import FreezingConfig
from xtts_framework.errors import UserError
from xtts_framework.model.freezing import resolve_freezing
from xtts_framework.plugins import FreezingPlan, LanguagePack, NoOptions, PluginInfo, Plugins, hookimpl, load_plugins

Install = Callable[..., Path]

PACK = """
    from typing import Literal
    from pydantic import BaseModel, ConfigDict
    from xtts_framework.plugins import FreezingPlan, LanguagePack, TextProblem, hookimpl

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        vowels: Literal["long", "short"] = "long"

    class Pack(LanguagePack):
        code = "xx"
        name = "Example"
        api_version = 1
        Options = Options
        alphabet = frozenset("ab ")
        def normalize(self, text):
            return " ".join(text.lower().split())

    @hookimpl
    def xtts_language_packs():
        return [Pack]
"""


def info_of(plugins: Plugins, name: str) -> PluginInfo:
    (info,) = (info for info in plugins.infos if info.name == name)
    return info


def run_xtts(*arguments: str, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(path)} | variables
    command = [sys.executable, "-c", "from xtts_framework.cli.main import main; main()", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_an_installed_plugin_brings_its_language(install: Install) -> None:
    install("acme", PACK)
    plugins = load_plugins()
    assert info_of(plugins, "acme") == PluginInfo("acme", "acme-pack", "2.1", ("xtts_language_packs",), ("xx",), None)
    pack = plugins.pack("xx", {"vowels": "short"})
    assert pack.normalize(" A  b ") == "a b"
    assert pack.options.model_dump() == {"vowels": "short"}


def test_the_amharic_pack_comes_through_the_same_door() -> None:
    plugins = load_plugins()
    assert info_of(plugins, "amharic").distribution == "xtts-framework"
    assert plugins.pack("am", {}).code == "am"


def test_an_unknown_language_names_the_installed_ones() -> None:
    with pytest.raises(UserError, match=r"'zz'.*\n?.*am \(Amharic\)"):
        load_plugins().pack("zz", {})


def test_an_unknown_option_names_the_nearest(install: Install) -> None:
    install("acme", PACK)
    with pytest.raises(UserError, match=r"'xx'(.|\n)*vowel: unknown key; did you mean 'vowels'\?"):
        load_plugins().pack("xx", {"vowel": "short"})


@pytest.mark.parametrize(
    "source", ["import no_such_module_anywhere", "import sys; sys.exit('no_such_module_anywhere')", "("]
)
def test_a_plugin_that_cannot_be_imported_fails_alone(install: Install, source: str) -> None:
    install("broken", source)
    plugins = load_plugins()
    info = info_of(plugins, "broken")
    assert (info.distribution, info.version, info.hooks) == ("broken-pack", "2.1", ())
    assert info.error is not None and info.error.startswith("cannot be imported: ")
    assert plugins.pack("am", {}).normalize("ሰላም") == "ሰላም"
    with pytest.raises(UserError) as unknown:
        plugins.pack("xx", {})
    assert "'broken' (broken-pack 2.1)" in str(unknown.value)
    assert info.error in str(unknown.value)


def test_the_command_line_lists_a_broken_plugin_with_its_exception(install: Install) -> None:
    folder = install("broken", "raise RuntimeError('out of cheese')")
    listed = run_xtts("plugins", "list", "--json", path=folder)
    assert listed.returncode == 0, listed.stderr
    by_name = {info["name"]: info for info in json.loads(listed.stdout)}
    assert by_name["broken"] == {
        "name": "broken",
        "distribution": "broken-pack",
        "version": "2.1",
        "hooks": [],
        "languages": [],
        "error": "cannot be imported: RuntimeError: out of cheese",
        "disabled": False,
    }
    assert by_name["amharic"]["languages"] == ["am"]
    assert by_name["amharic"]["error"] is None
    lines = run_xtts("plugins", "list", path=folder).stdout
    assert "broken-pack 2.1" in lines
    assert "RuntimeError: out of cheese" in lines


MISSPELT = "from xtts_framework.plugins import hookimpl\n@hookimpl\ndef xtts_on_metric(step): ...\n"


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [("xtts_on_metric(step)", "xtts_on_metric'"), ("xtts_on_metrics(steps)", "steps")],
    ids=["a hook that does not exist", "an argument that the hook does not have"],
)
def test_a_plugin_with_a_wrong_hook_is_refused_as_a_whole_and_harms_nobody(
    install: Install, mistake: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme", PACK + f"\n    @hookimpl\n    def {mistake}: ...\n")
    install("good", PACK.replace('"xx"', '"yy"'))
    plugins = load_plugins()
    info = info_of(plugins, "acme")
    assert (info.hooks, info.languages) == ((), ())
    assert complaint in (info.error or "")
    assert "xtts_on_metrics," in (info.error or "")  # the hooks there are
    assert plugins.pack("yy", {}).code == "yy"
    plugins.hook.xtts_on_metrics(step=4, metrics={})
    with pytest.raises(UserError, match="acme-pack"):
        plugins.pack("xx", {})
    load_plugins()
    assert capsys.readouterr().err.count("warning: plugin 'acme' (acme-pack 2.1)") == 1


def test_every_command_that_uses_plugins_warns_of_a_broken_one_and_works(install: Install, tmp_path: Path) -> None:
    folder = install("acme", MISSPELT)
    config = tmp_path / "config.yaml"
    config.write_text("datasets: {d: {path: recordings, language: am}}\nruns: {r: {datasets: {d: {}}}}\n")
    told = run_xtts("config", "check", str(config), path=folder)
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("acme-pack 2.1") == 1
    assert "xtts_on_metric'" in told.stderr
    listed = run_xtts("plugins", "list", path=folder)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "xtts_on_metric'" in listed.stdout
    quiet = run_xtts("config", "check", str(config), path=folder, XTTS_DISABLED_PLUGINS="acme")
    assert (quiet.returncode, quiet.stderr) == (0, "")


@pytest.mark.parametrize(
    "source",
    [
        "class Stop(BaseException): ...\nraise Stop('no more')",
        "class Plugin:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
        "    def __dir__(self): return ['xtts_on_metrics']\nimport sys; sys.modules[__name__] = Plugin()",
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "class Odd(Exception):\n    def __str__(self): raise SystemExit(5)\nraise Odd",
        "raise ValueError('\\ud800')",
        PACK.replace("Options = Options", "Options = dict"),
        PACK.replace("return [Pack]", "raise SystemExit(3)"),
        PACK.replace('code = "xx"', "code = property(lambda self: 1 / 0)"),
    ],
    ids=["BaseException", "__getattr__", "__str__", "__str__ that ends", "surrogate", "Options", "SystemExit", "code"],
)
def test_however_a_plugin_misbehaves_it_is_described_and_others_work(install: Install, source: str) -> None:
    install("odd", source)
    plugins = load_plugins()
    error = info_of(plugins, "odd").error
    assert error
    error.encode("utf-8")
    assert plugins.pack("am", {}).code == "am"


def test_what_a_plugin_prints_never_mixes_with_what_a_program_reads(install: Install) -> None:
    chatty = PACK.replace("    class Pack", "    print('loading')\n    class Pack", 1)
    chatty = chatty.replace("return [Pack]", "print('offering'); return [Pack]")
    chatty = chatty.replace("return ' '", "print('reading'); return ' '")
    chatty = chatty.replace('return " "', "print('reading'); return \" \"")
    folder = install("chatty", chatty + "\n    @hookimpl\n    def xtts_check_text(): print('checking'); return []\n")
    listed = run_xtts("plugins", "list", "--json", path=folder)
    assert "chatty" in {info["name"] for info in json.loads(listed.stdout)}
    read = run_xtts("text", "--language", "xx", "--json", "A b", path=folder)
    assert json.loads(read.stdout)["normalized"] == "a b"
    for word in ("loading", "offering", "reading", "checking"):
        assert word in read.stderr


def test_a_request_to_end_is_heeded_while_a_plugin_is_imported(install: Install) -> None:
    waiting = "import sys, time\nprint('imported', file=sys.stderr, flush=True)\ntime.sleep(60)"
    folder = install("waiting", waiting)
    command = [sys.executable, "-c", "from xtts_framework.cli.main import main; main()", "plugins", "list"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "imported\n"
    process.terminate()
    listed, told = process.communicate(timeout=50)
    assert (process.returncode, listed) == (128 + signal.SIGTERM, "")
    assert "terminated" in told and "Traceback" not in told


def test_a_plugin_without_a_proper_entry_point_or_metadata_is_described(install: Install) -> None:
    folder = install("odd", PACK)
    metadata = folder / "odd_pack-2.1.dist-info"
    (metadata / "METADATA").unlink()
    (metadata / "entry_points.txt").write_text("[xtts_framework.plugins]\nodd = two words\n")
    info = info_of(load_plugins(), "odd")
    assert (info.distribution, info.version) == ("unknown", "unknown")
    assert info.error == "its entry point 'two words' is malformed; expected MODULE or MODULE:OBJECT"
    checked = run_xtts("plugins", "check", "odd", path=folder)
    assert checked.returncode == 1
    assert "'two words' is malformed" in checked.stdout and "Traceback" not in checked.stderr


def test_ctrl_c_during_an_import_stays_ctrl_c(install: Install) -> None:
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


def test_a_plugin_without_marked_hooks_is_told_so(install: Install) -> None:
    install("acme", "def xtts_language_packs(): return []")
    assert "@hookimpl" in (info_of(load_plugins(), "acme").error or "")


def test_disabled_plugins_are_not_even_imported(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("broken", "raise RuntimeError('imported')")
    monkeypatch.setenv("XTTS_DISABLED_PLUGINS", "amharic, broken,nobody")
    plugins = load_plugins()
    for name in ("amharic", "broken"):
        assert info_of(plugins, name).error == "disabled by XTTS_DISABLED_PLUGINS"
    assert "not installed" in (info_of(plugins, "nobody").error or "")
    with pytest.raises(UserError, match=r"(?s)'am'.*Installed: .*'amharic'.*disabled by XTTS_DISABLED_PLUGINS"):
        plugins.pack("am", {})


@pytest.mark.parametrize(("version", "remedy"), [(0, "newer version of acme-pack"), (2, "newer xtts-framework")])
def test_a_pack_for_another_api_version_is_refused_with_both_versions_and_the_remedy(
    install: Install, version: int, remedy: str
) -> None:
    install("acme", PACK.replace("api_version = 1", f"api_version = {version}"))
    plugins = load_plugins()
    with pytest.raises(UserError) as refused:
        plugins.pack("xx", {})
    for part in (f"API version {version}", "API version 1", remedy, "acme-pack 2.1"):
        assert part in str(refused.value)
    assert str(refused.value).startswith(info_of(plugins, "acme").error or "no error")
    assert plugins.pack("am", {}).code == "am"


def test_two_packs_of_one_language_clash_until_one_is_switched_off(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme", PACK)
    install("rival", PACK)
    plugins = load_plugins()
    with pytest.raises(
        UserError, match=r"(?s)'xx'.*(acme-pack.*rival-pack|rival-pack.*acme-pack).*XTTS_DISABLED_PLUGINS"
    ):
        plugins.pack("xx", {})
    assert all("twice" in (info_of(plugins, name).error or "") for name in ("acme", "rival"))
    assert plugins.pack("am", {}).code == "am"
    monkeypatch.setenv("XTTS_DISABLED_PLUGINS", "rival")
    assert load_plugins().pack("xx", {}).name == "Example"


def test_of_two_packages_with_one_plugin_name_neither_is_used(install: Install) -> None:
    install("acme", PACK)
    install("acme", PACK, module="other_module", package="other-pack")
    plugins = load_plugins()
    errors = {info.distribution: info.error for info in plugins.infos if info.name == "acme"}
    assert "other-pack 2.1" in (errors["acme-pack"] or "")
    assert "acme-pack 2.1" in (errors["other-pack"] or "")
    assert plugins.pack("am", {}).code == "am"
    with pytest.raises(UserError, match="same name"):
        plugins.pack("xx", {})


def test_nobody_takes_the_name_of_a_built_in_plugin(install: Install) -> None:
    install("amharic", PACK)
    plugins = load_plugins()
    assert plugins.pack("am", {}).name == "Amharic"
    assert [info.error is None for info in plugins.infos if info.name == "amharic"] == [False, True]


def test_one_module_under_two_names_is_registered_once(install: Install) -> None:
    install("acme", PACK, module="shared_module")
    install("again", PACK, module="shared_module")
    plugins = load_plugins()
    assert plugins.pack("xx", {}).code == "xx"
    assert "another name" in (info_of(plugins, "again").error or "")


def test_options_for_a_pack_that_has_none_are_refused_by_name(install: Install) -> None:
    install("acme", PACK.replace("Options = Options", ""))
    with pytest.raises(UserError, match=r"'xx'.*takes no options, found 'homophones'"):
        load_plugins().pack("xx", {"homophones": True})


@pytest.mark.parametrize(
    ("offer", "complaint"),
    [
        ("return [Pack, 3]", "LanguagePack"),
        ("return None", "xtts_language_packs: TypeError"),
        ("raise OSError('no table')", "xtts_language_packs: OSError: no table"),
        ("Pack.code = 'Example'; return [Pack]", "language code"),
        ("del Pack.code; return [Pack]", "language code"),
        ("del Pack.name; return [Pack]", "name"),
        ("Pack.api_version = '1'; return [Pack]", "api_version"),
        ("Pack.api_version = True; return [Pack]", "api_version"),
    ],
)
def test_an_unusable_offer_is_described(install: Install, offer: str, complaint: str) -> None:
    install("acme", PACK.replace("return [Pack]", offer))
    plugins = load_plugins()
    assert complaint in (info_of(plugins, "acme").error or "")
    assert plugins.pack("am", {}).code == "am"
    with pytest.raises(UserError, match="acme-pack"):
        plugins.pack("xx", {})


@pytest.mark.parametrize(
    ("sabotage", "complaint"),
    [
        ("def fail(self, options): raise OSError('no table')\n    Pack.__init__ = fail", "OSError: no table"),
        ("Pack.alphabet = property(lambda self: {}['letters'])", "KeyError: 'letters'"),
        ("Pack.alphabet = 'ab '", "expected a frozenset"),
        ("del Pack.alphabet", "NotImplementedError"),
    ],
)
def test_a_pack_that_cannot_be_set_up_is_named(install: Install, sabotage: str, complaint: str) -> None:
    install("acme", f"{PACK}\n    {sabotage}\n")
    with pytest.raises(UserError, match=rf"'xx'.*{complaint}"):
        load_plugins().pack("xx", {})


@pytest.mark.parametrize(
    ("sabotage", "complaint"),
    [
        ("Pack.normalize = lambda self, text: text.no_such_method()", "'xx', normalize: AttributeError"),
        ("Pack.normalize = lambda self, text: None", "'xx', normalize: TypeError: expected a str"),
        ("Pack.check = lambda self, raw, normalized: 1 / 0", "'xx', check: ZeroDivisionError"),
        ("Pack.check = lambda self, raw, normalized: ['bad']", "'xx', check: TypeError: expected a TextProblem"),
        ("Pack.check = lambda self, raw, normalized: None", "'xx', check: TypeError"),
        ("Pack.check = lambda self, raw, normalized: [TextProblem('two words', '')]", "snake_case"),
    ],
)
def test_a_text_on_which_the_pack_fails_is_refused_with_the_name_of_the_pack(
    install: Install, sabotage: str, complaint: str
) -> None:
    install("acme", f"{PACK}\n    {sabotage}\n")
    plugins = load_plugins()
    _, (problem,) = plugins.read_text(plugins.pack("xx", {}), "a b")
    assert problem.code == "pack_error"
    assert complaint in problem.detail


def test_any_plugin_may_refuse_a_text_and_one_that_fails_is_named(install: Install) -> None:
    check = """
        from xtts_framework.plugins import TextProblem, hookimpl
        @hookimpl
        def xtts_check_text(language, raw, normalized):
            {body}
    """
    install("strict", check.format(body="return [TextProblem('shouting', f'{language}: {raw}')]"))
    install("sloppy", check.format(body="raise ValueError('not today')"))
    plugins = load_plugins()
    normalized, problems = plugins.read_text(plugins.pack("am", {}), "ሰላም X!")
    assert normalized == "ሰላም x!"
    assert {problem.code: problem.detail for problem in problems} == {
        "shouting": "am: ሰላም X!",
        "pack_error": "plugin 'sloppy', xtts_check_text: ValueError: not today",
    }


def freezing_plugin(body: str) -> str:
    return f"""
        from xtts_framework.plugins import FreezingPlan, hookimpl
        @hookimpl
        def xtts_freezing_plan(training_clips, blocks):
            {body}
    """


def test_a_plugin_may_decide_what_freezes_and_leave_the_rest_to_the_pack(install: Install) -> None:
    install("acme", freezing_plugin("return FreezingPlan((), True, True, True, True, 'none') if blocks == 2 else None"))
    plugins = load_plugins()
    amharic = plugins.pack("am", {})
    assert plugins.freezing_plan(amharic, 10, 2) == FreezingPlan((), True, True, True, True, "none")
    assert plugins.freezing_plan(amharic, 10, 30) == amharic.freezing_plan(10, 30)


def test_of_two_freezing_plans_the_one_counts_that_pluggy_puts_first(install: Install) -> None:
    for name in ("acme", "rival"):
        install(name, freezing_plugin(f"return FreezingPlan((), True, True, True, True, {name!r})"))
    plugins = load_plugins()
    plan = plugins.freezing_plan(plugins.pack("am", {}), 10, 30)
    assert plan.reason == "rival"
    assert plan == plugins.hook.xtts_freezing_plan(language="am", training_clips=10, blocks=30)


def test_an_installed_plugin_overrides_what_another_one_freezes_in_a_run(install: Install) -> None:
    """Both are asked in the way that `xtts train` asks: pluggy's order, then the configuration's own fields."""
    few = "return FreezingPlan((0,), True, False, True, False, {name!r}) if training_clips < 500 else None"
    install("acme", freezing_plugin(few.format(name="acme")))
    install("rival", freezing_plugin(few.format(name="rival")).replace("@hookimpl", "@hookimpl(trylast=True)"))
    plugins = load_plugins()
    amharic = plugins.pack("am", {})
    plan = resolve_freezing(FreezingConfig(), plugins, amharic, 10, 30)
    assert plan == FreezingPlan((0,), True, False, True, False, "acme")
    stated = resolve_freezing(FreezingConfig(heads=False), plugins, amharic, 10, 30)
    assert (stated.frozen_blocks, stated.heads) == ((0,), False)
    assert resolve_freezing(FreezingConfig(), plugins, amharic, 3000, 30).frozen_blocks == ()


def test_an_installed_plugin_adds_a_check_to_amharic_that_validate_makes(install: Install, tmp_path: Path) -> None:
    folder = install(
        "strict",
        """
        from xtts_framework.plugins import TextProblem, hookimpl
        @hookimpl
        def xtts_check_text(language, normalized):
            if language == "am" and normalized.startswith("ደህና"):
                return [TextProblem("farewell", f"found {normalized!r}")]
            return []
        """,
    )
    dataset = tmp_path / "dataset"
    (dataset / "wavs").mkdir(parents=True)
    texts = ["ሰላም ለዓለም", "እንዴት ነህ", "ደህና ሁን", "አመሰግናለሁ"]
    for number in range(len(texts)):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 22050)
        soundfile.write(dataset / "wavs" / f"{number}.wav", noise, 22050)
    (dataset / "metadata.csv").write_text("".join(f"{n}|{text}\n" for n, text in enumerate(texts)), encoding="utf-8")
    config = tmp_path / "validate.yaml"
    config.write_text(f"dataset: {{path: {dataset}, language: am}}\n")
    rejects = tmp_path / "out" / "rejects.csv"
    done = run_xtts("validate", "--config", str(config), "--out", str(rejects.parent), path=folder)
    assert done.returncode == 0, done.stderr
    with rejects.open(encoding="utf-8", newline="") as stream:
        (refused,) = csv.DictReader(stream)
    assert (refused["line"], refused["codes"]) == ("3", "farewell")
    assert "ደህና ሁን" in refused["detail"]


@pytest.mark.parametrize("body", ["return blocks", "return 1 / 0"])
def test_a_plugin_whose_freezing_plan_is_none_is_named(install: Install, body: str) -> None:
    install("acme", freezing_plugin(body))
    plugins = load_plugins()
    with pytest.raises(UserError, match="'acme', xtts_freezing_plan"):
        plugins.freezing_plan(plugins.pack("am", {}), 10, 30)


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[int, dict[str, float]]] = []

    @hookimpl
    def xtts_on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        self.heard.append((step, metrics))


class MisspeltListener:
    @hookimpl
    def xtts_on_metrix(self) -> None: ...


def test_listeners_join_the_plugins_of_their_process() -> None:
    plugins, first, second = load_plugins(), Listener(), Listener()
    plugins.register(first)
    plugins.register(second)
    plugins.hook.xtts_on_metrics(step=4, metrics={"train/lr": 5e-6})
    assert first.heard == second.heard == [(4, {"train/lr": 5e-6})]
    with pytest.raises(UserError, match=r"MisspeltListener.*xtts_on_metrix"):
        plugins.register(MisspeltListener())


def test_the_smallest_pack_needs_no_options_class() -> None:
    class Smallest(LanguagePack):
        code = "xx"
        name = "Smallest"

    assert Smallest(Smallest.Options()).options == NoOptions()


def test_listing_plugins_and_loading_a_pack_import_no_torch() -> None:
    script = (
        "import sys\n"
        "from xtts_framework.plugins import load_plugins\n"
        "plugins = load_plugins()\n"
        "plugins.read_text(plugins.pack('am', {}), 'ሰላም')\n"
        "print(sorted({'torch', 'TTS', 'polars', 'transformers', 'tokenizers'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
