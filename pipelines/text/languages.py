"""Language codes, and the language of a text file by its name.

`train.de`, `train.de.gz`, `corpus.de-en.de`, `train.de.txt` and `de.txt` are German.
Only ISO 639 codes are recognised: `train.src` and `a.tok` have no language.
"""

import re
from collections.abc import Iterable
from pathlib import Path

UNKNOWN = "und"
"""ISO 639 code of an undetermined language; tokenized by the English Moses rules."""

_KNOWN = {
    "af", "am", "ar", "as", "az", "be", "bg", "bn", "bo", "br", "bs", "ca", "ce", "co",
    "cs", "cv", "cy", "da", "de", "dv", "dz", "ee", "el", "en", "eo", "es", "et", "eu",
    "fa", "fi", "fj", "fo", "fr", "fy", "ga", "gd", "gl", "gn", "gu", "ha", "he", "hi",
    "hr", "ht", "hu", "hy", "id", "ig", "is", "it", "iu", "ja", "jv", "ka", "kk", "kl",
    "km", "kn", "ko", "ku", "ky", "la", "lb", "lg", "ln", "lo", "lt", "lv", "mg", "mi",
    "mk", "ml", "mn", "mr", "ms", "mt", "my", "nb", "ne", "nl", "nn", "no", "ny", "oc",
    "om", "or", "pa", "pl", "ps", "pt", "qu", "rm", "ro", "ru", "rw", "sa", "sc", "sd",
    "se", "si", "sk", "sl", "sm", "sn", "so", "sq", "sr", "ss", "st", "su", "sv", "sw",
    "ta", "te", "tg", "th", "ti", "tk", "tn", "to", "tr", "ts", "tt", "ug", "uk", "ur",
    "uz", "vi", "wo", "xh", "yi", "yo", "yue", "zh", "zu", "mni", "tdt", "tet",
}  # fmt: skip
"""ISO 639-1 codes, and the three-letter codes of Moses and num2words."""
_THREE_LETTERS = {
    "ara": "ar", "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "cmn": "zh",
    "cym": "cy", "dan": "da", "deu": "de", "dut": "nl", "ell": "el", "eng": "en",
    "est": "et", "eus": "eu", "fas": "fa", "fin": "fi", "fra": "fr", "fre": "fr",
    "ger": "de", "gle": "ga", "glg": "gl", "heb": "he", "hin": "hi", "hrv": "hr",
    "hun": "hu", "ind": "id", "isl": "is", "ita": "it", "jpn": "ja", "kor": "ko",
    "lav": "lv", "lit": "lt", "mlt": "mt", "nld": "nl", "nno": "nn", "nob": "nb",
    "nor": "no", "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "slk": "sk",
    "slv": "sl", "spa": "es", "srp": "sr", "swe": "sv", "tha": "th", "tur": "tr",
    "ukr": "uk", "vie": "vi", "zho": "zh",
}  # fmt: skip
"""ISO 639-2 and 639-3 codes -> the codes of tokenizers."""
_COMPRESSED = (".gz", ".zst")
_TEXT = ".txt"
_CODE = re.compile(r"([a-z]{2,3})([-_]([A-Z]{2}|[A-Z][a-z]{3}))?")
"""A language, and a region (BR) or a script (Hans)."""


def language_of(path: Path) -> str | None:
    """Read the language from a file's name; None where the name has no code."""
    name = path.name
    for suffix in (*_COMPRESSED, _TEXT):
        name = name.removesuffix(suffix)
    match = _CODE.fullmatch(name.rpartition(".")[2])
    if not match:
        return None
    language, region = main_language(match[1]), match[3] or ""
    if language not in _KNOWN:
        return None
    return f"{language}-{region}" if len(region) == len("BR") else language


def main_language(code: str) -> str:
    """Reduce `pt-BR`, `pt_br` and `por` to `pt`."""
    main = primary_subtag(code)
    return _THREE_LETTERS.get(main, main)


def primary_subtag(code: str) -> str:
    """Remove region and script: `pt-BR` and `pt_br` become `pt`, `por` stays `por`."""
    return code.lower().replace("_", "-").partition("-")[0]


def languages_of(paths: Iterable[Path]) -> dict[str, Path]:
    """Collect the languages of the files of one side.

    Returns:
        Language -> the first file of that language.
    """
    languages: dict[str, Path] = {}
    for path in paths:
        language = language_of(path)
        if language is not None:
            languages.setdefault(language, path)
    return languages
