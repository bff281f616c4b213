"""The package that `xtts plugins new` writes: a language pack that installs, passes its tests and refuses every text.

The files lie in `template/`. What only a speaker of the language can decide is left empty in one module, listed there
under `UNDECIDED`; the package's own tests tell what is left.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

from xtts_framework import plugins
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder
from xtts_framework.plugins.discovery import DISABLED_VARIABLE, LANGUAGE_CODE

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ENGLISH_NAME = re.compile(r"[^\W\d_][^\W_]*([ '’,()-]+[^\W_]+)*\)?")
LONGEST_NAME = 40

FILES = {
    "pyproject.toml": "pyproject.toml.j2",
    "README.md": "README.md.j2",
    ".gitignore": "gitignore.j2",
    ".github/workflows/tests.yml": "workflow.yml.j2",
    "{module}.py": "pack.py.j2",
    "tests/test_{module}.py": "test_pack.py.j2",
}
"""File of the package -> its template."""


@dataclass(frozen=True)
class NewPack:
    """What a package is named after.

    Args:
        name: of the plugin, `norwegian-bokmal`.
        language: code, `nb`.
        english_name: `Norwegian Bokmål`.
    Raises:
        UserError: one of them is malformed.
    """

    name: str
    language: str
    english_name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > LONGEST_NAME:
            raise UserError(
                f"{self.name!r} cannot name a package: expected lower-case letters a to z, digits and single hyphens, "
                f"beginning with a letter, at most {LONGEST_NAME} characters, for example norwegian-bokmal."
            )
        if keyword.iskeyword(self.class_name) or hasattr(plugins, self.class_name):
            raise UserError(f"{self.name!r} cannot name a pack: {self.class_name} is taken in Python. Choose another.")
        if not LANGUAGE_CODE.fullmatch(self.language):
            raise UserError(
                f"{self.language!r} is no language code: expected two or three lower-case letters (ISO 639), with a "
                "variant if need be, for example tig or zh-cn."
            )
        if not ENGLISH_NAME.fullmatch(self.english_name) or len(self.english_name) > LONGEST_NAME:
            raise UserError(
                f"{self.english_name!r} cannot be the English name of a language: expected words of letters, at most "
                f"{LONGEST_NAME} characters, for example Norwegian (Bokmål)."
            )

    @property
    def package(self) -> str:
        return f"xtts-lang-{self.name}"

    @property
    def module(self) -> str:
        return self.package.replace("-", "_")

    @property
    def class_name(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("-"))


def create_pack(new: NewPack, out: Path) -> None:
    """Write the package folder `out`, whole or not at all.

    Raises:
        UserError: the folder exists and is not empty, or an installed plugin has the name or claims the language.
    """
    _refuse_clash(new)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already and is not empty; choose another folder with --out, or remove it.")
    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_template),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    with replacing_folder(out) as folder:
        for name, template in FILES.items():
            file = folder / name.format(module=new.module)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = templates.get_template(template).render(new=new, api_version=plugins.API_VERSION)
            file.write_text(text, encoding="utf-8")


def _refuse_clash(new: NewPack) -> None:
    for info in plugins.load_plugins().infos:
        if new.language in info.languages:
            raise UserError(
                f"the language {new.language!r} is claimed by {info} already, and only one pack can have it.\n"
                f"  Improve that one, or switch it off with {DISABLED_VARIABLE}={info.name} to write another."
            )
        if new.name == info.name:
            raise UserError(f"{info} has the name {new.name!r} already, and names are unique. Choose another.")


def _read_template(name: str) -> str:
    return resources.files("xtts_framework.plugins").joinpath("template", name).read_text(encoding="utf-8")
