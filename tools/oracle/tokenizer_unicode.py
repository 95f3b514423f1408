"""Writes internal/tokenizer/testdata/unicode.json.gz: what Hugging Face `tokenizers` makes of every code point.

Its pieces carry Unicode tables of different ages; Go has another. The test compares all 1,112,064 code points.
Sets are lists of inclusive ranges; normalizers are CRC-32s of pages of 256 code points (page -> crc of the outputs joined by NUL),
pages that stay as they are left out.

    python tools/oracle/tokenizer_unicode.py
"""

import gzip
import json
import pathlib
import zlib

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parents[2] / "internal/tokenizer/testdata/unicode.json.gz"
CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def removed_by(pre):
    """The code points that a pre-tokenizer removes."""
    out = []
    for i in range(0, len(CODES), 4096):
        block = CODES[i : i + 4096]
        kept = set("".join(s for s, _ in pre.pre_tokenize_str("".join(map(chr, block)))))
        out += [c for c in block if chr(c) not in kept]
    return ranges(out)


def pieces(pre, n):
    """The code points that, between two letters, give n pieces."""
    return ranges([c for c in CODES if len(pre.pre_tokenize_str("a" + chr(c) + "a")) == n])


def pages(norm, before=""):
    out = {}
    for page in range(0x110000 >> 8):
        codes = [chr(c) for c in range(page << 8, (page + 1) << 8) if not 0xD800 <= c < 0xE000]
        got = [norm.normalize_str(before + c) for c in codes]
        if got != [before + c for c in codes]:
            out[str(page)] = zlib.crc32("\0".join(got).encode())
    return out


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**flags, **on})


def main():
    split = lambda rx: pre_tokenizers.Split(Regex(rx), "removed")
    data = {
        "tokenizers": tokenizers.__version__,
        "sets": {
            "letter": removed_by(split(r"\p{L}")),
            "number": removed_by(split(r"\p{N}")),
            "space": removed_by(split(r"\s")),
            "whitespace_split": removed_by(pre_tokenizers.WhitespaceSplit()),
            "punctuation": removed_by(pre_tokenizers.Punctuation("removed")),
            "digit": pieces(pre_tokenizers.Digits(individual_digits=True), 3),
            "word": pieces(pre_tokenizers.Whitespace(), 1),
        },
        "norms": {
            "NFC": pages(normalizers.NFC()),
            "NFD": pages(normalizers.NFD()),
            "NFKC": pages(normalizers.NFKC()),
            "NFKD": pages(normalizers.NFKD()),
            "NFD after U+0345": pages(normalizers.NFD(), "a\u0345"),
            "NFC after U+0345": pages(normalizers.NFC(), "a\u0345"),
            "lowercase": pages(normalizers.Lowercase()),
            "strip": pages(normalizers.StripAccents()),
            "bert clean": pages(bert(clean_text=True)),
            "bert chinese": pages(bert(handle_chinese_chars=True)),
            "bert strip": pages(bert(strip_accents=True)),
            "bert lowercase": pages(bert(lowercase=True)),
        },
    }
    with open(OUT, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(data, separators=(",", ":")).encode())
    print(OUT.name, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
