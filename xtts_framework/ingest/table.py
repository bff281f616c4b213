"""Tables with '|' between columns: the guide's and LJSpeech's without a header, coqui's with one."""

from __future__ import annotations

from collections.abc import Iterator

from xtts_framework.data.metadata import read_metadata
from xtts_framework.ingest.source import Source
from xtts_framework.ingest.utterance import Fault, Utterance, has_words


def read_table(source: Source) -> Iterator[Utterance]:
    """Rows of metadata files; a recording is a clip.

    Raises:
        UserError: a file that cannot be read, or has not one good row.
    """
    for path in source.files:
        for row in read_metadata(path):
            line = f"{source.name_file(path)}:line {row.line}"
            if row.fault:
                yield Utterance(line, "", fault=Fault("malformed_row", row.fault))
                continue
            found = source.find(row.file)
            if isinstance(found, Fault):
                yield Utterance(line, row.text, speaker=row.speaker, recording=row.recording, fault=found)
                continue
            fault = None if has_words(row.text) else Fault("no_text", f"line {row.line} has no text")
            yield Utterance(found.name, row.text, found.path, speaker=row.speaker, recording=row.recording, fault=fault)
