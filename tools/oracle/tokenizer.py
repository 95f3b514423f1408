"""Writes internal/tokenizer/testdata: strings, small tokenizers and the ids that Hugging Face `tokenizers` gives.

    PLUMB_MODELS=... python tools/oracle/tokenizer.py

strings.json.gz     the strings (tokenizer_strings.py)
tokenizers.json.gz  for each tokenizer its tokenizer.json, the ids of every string (with special tokens), the text decoded
                    from them without special tokens where it is not the string, and for some the ids of pairs
real.json.gz        the ids of SmolLM2's and MiniLM's real vocabularies, which stay out of the repository

The small vocabularies are trained here, on the strings themselves.
"""

import glob
import gzip
import json
import os
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_strings import CODE, SENTENCES, strings

OUT = pathlib.Path(__file__).resolve().parents[2] / "internal/tokenizer/testdata"
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA.replace(r"\p{N}{1,3}", r"\p{N}")
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
# No scanner knows this one: upper case and lower case apart, numbers in twos.
OTHER = r"\p{Lu}+|\p{Ll}+|\d{1,2}|[^\s\p{L}\d]+|\s+(?=\S)|\s+"

TEXTS = strings()
CORPUS = (SENTENCES + CODE) * 3 + TEXTS


def byte_level(**kw):
    return pre_tokenizers.ByteLevel(**{**dict(add_prefix_space=False, use_regex=False), **kw})


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


def trained(model, pre, trainer, norm=None, post=None, dec=None):
    t = Tokenizer(model)
    t.pre_tokenizer = pre
    if norm is not None:
        t.normalizer = norm
    t.train_from_iterator(CORPUS, trainer)
    if post is not None:
        t.post_processor = post(t)
    if dec is not None:
        t.decoder = dec
    return t


def bpe(pre, norm=None, specials=(), size=350, post=None, **model):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    return trained(models.BPE(**model), pre, trainer, norm, post, decoders.ByteLevel())


def template(t, single, pair=None):
    names = [w.split(":")[0] for w in (single + " " + (pair or "")).split() if not w.startswith("$")]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(n, t.token_to_id(n)) for n in dict.fromkeys(names)])


def edit(t, change):
    """A tokenizer whose JSON was changed: the Python constructors do not reach everything."""
    d = json.loads(t.to_str())
    change(d)
    return Tokenizer.from_str(json.dumps(d))


CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level_family():
    yield "gpt2", bpe(byte_level(use_regex=True), specials=CHAT[:1], size=900)
    yield "smollm", bpe(sequence(pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)), specials=CHAT)
    yield "llama3", edit(bpe(sequence(split(LLAMA), byte_level()), specials=["<|begin|>", "<|eot|>"], size=700,
                             post=lambda t: template(t, "<|begin|> $A", "<|begin|> $A <|begin|>:1 $B:1")), lambda d: d["model"].update(ignore_merges=True))
    yield "qwen2", bpe(sequence(split(QWEN), byte_level()), normalizers.NFC(), CHAT, size=700)
    yield "cl100k", bpe(sequence(split(CL100K), byte_level()), specials=CHAT[:1], size=400)
    yield "other split", bpe(sequence(split(OTHER), byte_level()), specials=CHAT[:1], size=400)
    yield "split removed, inverted", bpe(sequence(split(OTHER, "removed", True), byte_level()), specials=CHAT[:1], size=400)

    def roberta(t):
        t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
        return processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), add_prefix_space=True)

    yield "roberta", bpe(byte_level(use_regex=True, add_prefix_space=True), specials=["<s>", "<pad>", "</s>", "<unk>"], post=roberta)
    yield "nmt words", bpe(sequence(pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=False), byte_level()), normalizers.Lowercase(), CHAT[:1], 400)

    added = bpe(byte_level(use_regex=True), normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), CHAT[:1], 400)
    added.add_tokens([AddedToken("foo", single_word=True), AddedToken("Bar", normalized=True), AddedToken("<n>", rstrip=True, normalized=False), AddedToken("\n\n", normalized=False),
                      AddedToken("the", single_word=True, lstrip=True), AddedToken("été", rstrip=True, lstrip=True), AddedToken("12", normalized=False), AddedToken("123", normalized=False)])
    added.add_special_tokens([AddedToken("<|a|>", lstrip=True, rstrip=True), AddedToken("<|B|>", normalized=True), AddedToken("[MASK]", single_word=True)])
    yield "added tokens", added


def sentence_piece_family():
    sp = dict(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    bytes256 = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]

    def make(pre, norm, dec, post=None, **kw):
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=bytes256, limit_alphabet=150, show_progress=False)
        t = trained(models.BPE(**{**sp, **kw}), pre, trainer, norm, post, dec)

        def only_three(d):
            d["added_tokens"] = d["added_tokens"][:3]

        return edit(t, only_three)

    fallback = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    bos = lambda t: template(t, "<s> $A", "<s> $A <s>:1 $B:1")
    # Llama 2 and Mistral have no pre-tokenizer; training needs one, which is taken away afterwards.
    none = make(pre_tokenizers.Metaspace(), None, decoders.Sequence([*fallback, decoders.Strip(" ", 1, 0)]), bos)

    def llama2(d):
        d["pre_tokenizer"] = None
        d["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}

    yield "llama2", edit(none, llama2)
    yield "metaspace first", make(pre_tokenizers.Metaspace(prepend_scheme="first"), None, decoders.Metaspace(prepend_scheme="first"), bos)
    yield "metaspace never", make(pre_tokenizers.Metaspace(prepend_scheme="never", split=False), None, decoders.Metaspace(prepend_scheme="never"))
    gemma = make(pre_tokenizers.Split("▁", "merged_with_next"), normalizers.Replace(" ", "▁"), decoders.Sequence(fallback), bos)
    yield "gemma", edit(gemma, lambda d: d.update(pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}))
    yield "unknown characters", make(pre_tokenizers.Whitespace(), None, decoders.BPEDecoder(), byte_fallback=False)
    yield "unknown characters apart", make(pre_tokenizers.WhitespaceSplit(), None, decoders.BPEDecoder(), byte_fallback=False, fuse_unk=False)
    clip = trainers.BpeTrainer(vocab_size=750, special_tokens=["<|start|>", "<|end|>"], end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    yield "clip", trained(models.BPE(unk_token="<|end|>", end_of_word_suffix="</w>"), sequence(split(r"'s|'t|'re|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", "removed", True), byte_level()), clip,
                          normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]), dec=decoders.BPEDecoder("</w>"))


def word_piece_family():
    def make(pre, norm, post, specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), **kw):
        unk = next(s for s in specials if "UNK" in s or "unk" in s)
        trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(specials), limit_alphabet=120, show_progress=False)
        return trained(models.WordPiece(unk_token=unk, **kw), pre, trainer, norm, post, decoders.WordPiece())

    one, two = "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"
    yield "bert", make(pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(), lambda t: template(t, one, two))
    yield "bert cased", make(pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(lowercase=False), lambda t: processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]"))),
                             max_input_chars_per_word=20)
    yield "mpnet", make(pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(handle_chinese_chars=False), lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>"))),
                        ("<s>", "<pad>", "</s>", "[UNK]", "<mask>"))
    yield "accents", make(pre_tokenizers.Punctuation("merged_with_previous"), normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]), lambda t: template(t, one, two))
    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        for invert in [False, True]:
            yield f"split {behavior} {invert}", make(sequence(pre_tokenizers.WhitespaceSplit(), split(r"[aeiou\d]", behavior, invert)), normalizers.NFD(), None)
    yield "delimiter", make(sequence(pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.Punctuation("contiguous")), normalizers.NFKC(), None)


def write(name, data):
    with open(OUT / name, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
    print(name, (OUT / name).stat().st_size, "bytes", flush=True)


def goldens(t, texts, pairs):
    ids = [t.encode(s).ids for s in texts]
    decoded = {str(i): d for i, (s, x) in enumerate(zip(texts, ids)) if (d := t.decode(x, skip_special_tokens=True)) != s}
    out = {"ids": ids, "decoded": decoded}
    if pairs and t.post_processor is not None:
        encoded = [t.encode(a, b) for a, b in zip(texts[:60], texts[30:90])]
        out["pairs"] = [[e.ids, e.type_ids] for e in encoded]
    return out


def smollm2(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    value = lambda key: fields["tokenizer.ggml." + key].contents()
    tokens = value("tokens")
    merges = [tuple(m.split(" ")) for m in value("merges")]
    t = Tokenizer(models.BPE({s: i for i, s in enumerate(tokens)}, merges))
    t.pre_tokenizer = sequence(pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True))
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([s for s, kind in zip(tokens, value("token_type")) if kind == 3])
    return t


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write("strings.json.gz", TEXTS)
    small = {}
    for family in byte_level_family, sentence_piece_family, word_piece_family:
        for name, t in family():
            main_one = name in ("gpt2", "llama3", "qwen2", "bert")
            first, step = (0, 1) if main_one else (0, 2) if name == "added tokens" else (len(small) % 6, 6)
            small[name] = {"first": first, "step": step, "file": t.to_str(), **goldens(t, TEXTS[first::step], True)}
            if name == "added tokens":
                # The library decodes a normalized token as its normalized text and takes it for no special one: not copied.
                del small[name]["decoded"]
    write("tokenizers.json.gz", small)
    base = os.environ.get("PLUMB_MODELS")
    if not base:
        print("PLUMB_MODELS is not set: real.json.gz stays as it is")
        return
    mini = Tokenizer.from_file(glob.glob(base + "/minilm/**/tokenizer.json", recursive=True)[0])
    mini.no_truncation()
    mini.no_padding()
    real = {"smollm2": smollm2(glob.glob(base + "/smollm2/**/*.gguf", recursive=True)[0]), "minilm": mini}
    write("real.json.gz", {name: {"first": 0, "step": 1, **goldens(t, TEXTS, name == "minilm")} for name, t in real.items()})


if __name__ == "__main__":
    main()
