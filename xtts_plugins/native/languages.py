"""The languages of XTTS-v2: a table.

Sources: the codes are those of coqui's configuration of XTTS-v2; letters and marks are tokens of an early vocabulary of
XTTS-v2, but for ő and ű and the Hindi letters: it has no Hungarian, Korean and Hindi yet.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

MARKS = " .,!?:;-'()/–—‘’“”„…«»¿"
LATIN = string.ascii_lowercase + "ßàáâãäæçèéêëìíîïðñòóôõöøùúûüýÿăąćčďđęěğħıłńňōœřśşšţťůźżž"
"""Letters of all Latin alphabets, since names travel."""
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
ARABIC = "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىيًٌٍَُِّْٰ"
DEVANAGARI = "अआइईउऊऋऍएऐऑओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहँंः़ािीुूृॅेैॉोौ्"


@dataclass(frozen=True)
class Language:
    """One language.

    Args:
        code: XTTS's, `zh-cn`.
        name: English name.
        letters: what a text may hold besides `marks`.
        sentence_marks: characters that end a sentence.
        clause_marks: characters that end a clause.
        abbreviations: words with a full stop that does not end a sentence, and that coqui does not spell out.
        modules: what coqui's cleaners for it import besides coqui's own requirements.
        extra: of xtts-framework, that brings these modules.
    """

    code: str
    name: str
    letters: str = LATIN
    marks: str = MARKS
    sentence_marks: str = ".!?…"
    clause_marks: str = ",;:"
    abbreviations: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()
    extra: str = ""

    @property
    def coqui_code(self) -> str:
        """Without the region: coqui's `encode` strips it, and puts `[zh-cn]` back for `zh`."""
        return self.code.partition("-")[0]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LANGUAGES = (
    Language("en", "English", abbreviations=_words("prof. gov. sen. rep. vs. mt. ms. messrs.")),
    Language("es", "Spanish", abbreviations=_words("prof. ud. uds. dña. srta. núm. pág. av. lic. ing.")),
    Language("fr", "French", abbreviations=_words("mlle. mgr. prof. av. bd. env. vol.")),
    Language("de", "German", abbreviations=_words("prof. nr. hr. bzw. ca. str. dipl. ing. ggf. vgl. evtl. inkl.")),
    Language("it", "Italian", abbreviations=_words("prof. prof.ssa dott. dott.ssa ing. avv. on. pag. art.")),
    Language("pt", "Portuguese", abbreviations=_words("prof. profa. exmo. exma. av. eng. núm. pág. d.")),
    Language("pl", "Polish", abbreviations=_words("prof. mgr. inż. ul. al. św. gen. ks. hab. np. tzw. im. nr.")),
    Language("tr", "Turkish", abbreviations=_words("prof. doç. av. yrd. sn. no. cad. sok.")),
    Language(
        "ru",
        "Russian",
        letters=CYRILLIC + string.ascii_lowercase,
        abbreviations=_words("г. гг. ул. им. проф. акад. т.е. т.к. д. стр. см. ср."),
    ),
    Language("nl", "Dutch", abbreviations=_words("prof. ir. ing. mr. drs. nr. bijv. ca. st.")),
    Language("cs", "Czech", abbreviations=_words("prof. mgr. bc. ul. č. např. sv. tzv. tj. doc. mudr. judr.")),
    Language(
        "ar",
        "Arabic",
        letters=ARABIC + string.ascii_lowercase,
        marks=MARKS + "؟،؛",
        sentence_marks=".!?…؟",
        clause_marks=",;:،؛",
    ),
    Language(
        "zh-cn",
        "Chinese",
        letters=string.ascii_lowercase + "ü12345",
        marks=" .,!?:;-'",
        modules=("pypinyin",),
        extra="zh",
    ),
    Language("hu", "Hungarian", letters=LATIN + "őű", abbreviations=_words("prof. ifj. id. özv. pl. ún. kb. szt.")),
    Language("ko", "Korean", letters=string.ascii_lowercase),
    Language(
        "ja",
        "Japanese",
        letters=string.ascii_lowercase,
        marks=" .,!?:;-'()/\"",
        modules=("cutlet", "fugashi", "unidic_lite"),
        extra="ja",
    ),
    Language(
        "hi",
        "Hindi",
        letters=DEVANAGARI + string.ascii_lowercase,
        marks=MARKS + "।",
        sentence_marks=".!?…।",
        abbreviations=_words("डॉ. श्री. प्रो. पं. सं."),
    ),
)
