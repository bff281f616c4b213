"""Common Voice: TSV files with `client_id`, `path` and `sentence`, recordings in `clips/`.

Nothing is quoted in these files: a quote is text, a tab ends a column, a line break ends a row.
"""

from __future__ import annotations

from collections.abc import Iterator

from xtts_framework.errors import UserError
from xtts_framework.ingest.source import Source, read_lines
from xtts_framework.ingest.utterance import Fault, Utterance, has_words

REQUIRED = ("path", "sentence")


def read_common_voice(source: Source) -> Iterator[Utterance]:
    """Rows of TSV files; a recording is a clip, the client is the speaker.

    Raises:
        UserError: a file that cannot be read, or whose header lacks `path` or `sentence`.
    """
    for path in source.files:
        lines = read_lines(path)
        header = split_header(lines[0] if lines else "")
        if header is None:
            raise UserError(
                f"{path}: the first line is no header of Common Voice. Expected columns with a tab between, "
                f"among them {' and '.join(REQUIRED)}; found {lines[0][:100] if lines else 'an empty file'!r}."
            )
        for number, line in enumerate(lines[1:], 2):
            if line.strip():
                yield _read_row(line, header, f"{source.name_file(path)}:line {number}", source)


def split_header(line: str) -> list[str] | None:
    """Names of the columns, or None when this is no header of Common Voice."""
    names = [name.strip().lower() for name in line.split("\t")]
    return names if all(names.count(name) == 1 for name in REQUIRED) else None


def _read_row(line: str, header: list[str], where: str, source: Source) -> Utterance:
    fields = line.split("\t")
    if len(fields) > len(header) or len(fields) <= max(map(header.index, REQUIRED)):
        detail = f"expected {len(header)} fields with a tab between, found {len(fields)}"
        return Utterance(where, "", fault=Fault("malformed_row", detail))
    values = dict(zip(header, fields, strict=False))  # empty last columns are often left out
    text, speaker = values["sentence"].strip(), values.get("client_id", "").strip()
    found = source.find(values["path"].strip())
    if isinstance(found, Fault):
        return Utterance(where, text, speaker=speaker, fault=found)
    fault = None if has_words(text) else Fault("no_text", "the sentence is empty")
    return Utterance(found.name, text, found.path, speaker=speaker, fault=fault)
