"""The strings that tokenizers are compared on: written here or drawn from a fixed seed, so that every run gives the same."""

import random
import unicodedata

SENTENCES = """The quick brown fox jumps over the lazy dog.
Hello, world! How are you today? I'm fine, thanks -- and you?
It's John's book; they've said we'd better go, but I'll stay, you're late & he'd know.
Der Bär fraß fünf Äpfel, während die Straße überflutet wurde.
L'élève a mangé des crêpes à l'hôtel près de la forêt ; ça coûte 12,50 €.
El niño comió piñas mañana por la mañana. ¿Qué pasó? ¡Nada!
Ο γρήγορος σκύλος ΤΡΈΧΕΙ στους δρόμους της Αθήνας. ΟΔΟΣ
Съешь ещё этих мягких французских булок, да выпей же чаю.
Їжак з'їв ґудзик у лісі.
השועל החום המהיר קופץ מעל הכלב העצלן. שָׁלוֹם
الثعلب البني السريع يقفز فوق الكلب الكسول. ٱلسَّلَامُ عَلَيْكُمْ ١٢٣
روباه قهوه‌ای سریع از روی سگ تنبل می‌پرد ۴۵۶
तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है। १२३४
দ্রুত বাদামী শিয়াল অলস কুকুরের উপর লাফ দেয় ৯৮৭
விரைவான பழுப்பு நரி சோம்பேறி நாயின் மீது குதிக்கிறது
వేగవంతమైన గోధుమ రంగు నక్క సోమరి కుక్కపై దూకుతుంది
ವೇಗದ ಕಂದು ನರಿ ಸೋಮಾರಿಯಾದ ನಾಯಿಯ ಮೇಲೆ ಜಿಗಿಯುತ್ತದೆ
വേഗതയുള്ള തവിട്ട് കുറുക്കൻ മടിയനായ നായയുടെ മുകളിലൂടെ ചാടുന്നു
ඉක්මන් දුඹුරු නරියා කම්මැලි බල්ලා උඩින් පනී
สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ ๑๒๓
ໝາຈອກສີນ້ຳຕານກະໂດດຂ້າມໝາຂີ້ຄ້ານ
မြန်ဆန်သော အညိုရောင် မြေခွေးသည် ပျင်းရိသော ခွေးကို ခုန်ကျော်သည်
កញ្ជ្រោងពណ៌ត្នោតលឿនលោតពីលើឆ្កែខ្ជិល
敏捷的棕色狐狸跳过了懒狗。今天是2024年3月15日，气温23.5℃。
素早い茶色の狐がのろまな犬を飛び越える。カタカナとﾊﾝｶｸ、ひらがな１２３
빠른 갈색 여우가 게으른 개를 뛰어넘는다. 한글 테스트 123
ᄒ\u1161ᆫ글 자모
Nhanh như con cáo nâu nhảy qua con chó lười biếng. Tiếng Việt đẹp lắm!
İstanbul'da IŞIK ılık, İIıi büyük küçük harf sorunu
Příliš žluťoučký kůň úpěl ďábelské ódy. ŁÓDŹ źdźbło
ქართული ენა ძალიან ლამაზია ᲥᲐᲠᲗᲣᲚᲘ
Հայերեն լեզու եւ և ՀԱՅԵՐԵՆ
አማርኛ ቋንቋ ነው። ፩፪፫
ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꮳꮃꭹ
བོད་སྐད་ཡིག་ ༡༢༣
Монгол ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ
𐐀𐐁𐐂 𐐨𐐩𐐪 𝒜𝓁𝓅𝒽𝒶 𝟘𝟙𝟚 𝕳𝖊𝖑𝖑𝖔
𓀀𓀁𓂀 𒀀𒀁 𐎀𐎁 ᚠᚢᚦ ⴰⴱⴲ ⲁⲃⲅ
ﬁne ﬂow oﬀer ﷺ ﷽ Ⅻ ⅻ ½ ¾ ² ³ ₁ ₂ ① ⑳ ㊗ ㋿ ㎏ ™ © ® № ℃ Å Ω K
naïve café résumé coöperate Zoë Ångström façade jalapeño
x² + y² = r², ∑ᵢ aᵢ ≤ ∞, ∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−f(a)|<ε ∎
\u201cCurly quotes\u201d \u2018single\u2019 don\u2019t it\u2019s \u2014 em\u2013en\u2026 \u00abguillemets\u00bb \u201elow\u201c
Price: $1,234.56 (≈ €1.134,20) +15% ±0.5 1e-10 0xDEADBEEF 3.14159 1,000,000 1 000 000
user@example.com https://example.org/a/b?c=d&e=f#g C:\\Temp\\x.txt /usr/local/bin ~/.config
snake_case camelCase PascalCase kebab-case SCREAMING_SNAKE __dunder__ a.b.c a->b A::B
¯\\_(ツ)_/¯ (╯°□°）╯︵ ┻━┻ ʕ•ᴥ•ʔ ♥♦♣♠ ←→↑↓ ░▒▓█ ✓✗★☆
Zürich—Genève, 5–7 o’clock…wow!!!??? ...???!!! -- --- ---- ==== #### ****
ALL CAPS TEXT SHOULD BE TOKENIZED DIFFERENTLY FROM lowercase text
tHe mIxEd cAsE wOrDs ArE fUnNy
Supercalifragilisticexpialidocious antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis
I would like to report a bug in the program; it doesn't work when I'm offline.
What's the best way to learn a new language, and how long does it usually take?
Please write a short story about a robot who learns to paint.
First, preheat the oven to 180°C (350°F). Then mix 2 cups of flour with 1/2 tsp salt.
As an assistant, I can't help with that, but here's what I'd suggest instead:
1. Open the door. 2. Turn left. 3) Walk 100m. a) stop b) go""".split("\n")

CODE = [
    "def f(x, *args, **kw):\n    return [i**2 for i in range(x) if i % 2 == 0]\n",
    "func main() {\n\tfmt.Println(\"hi\", 1+2)\n\tif err != nil {\n\t\treturn err\n\t}\n}\n",
    "#include <stdio.h>\nint main(void){for(int i=0;i<10;++i)printf(\"%d\\n\",i);return 0;}",
    "SELECT a.id, COUNT(*) FROM t AS a WHERE a.x >= 10 GROUP BY 1 HAVING COUNT(*)>2;",
    "<div class=\"a b\"><!-- c --><p>Hi&nbsp;there</p></div>",
    "{\"key\": [1, 2.5, null, true, \"v\\u00e9\"], \"n\": {\"m\": -1e-3}}",
    "const f = async (a, b) => { await g(`${a}-${b}`); };  // note\n",
    "if [ -f \"$HOME/.x\" ]; then\n  echo 'it'\"'\"'s'\nfi",
    "    four\n        eight\n\ttab\n\t\ttabs\n  two \n trailing   \n\n\n",
    "let mut v: Vec<u8> = Vec::new(); v.push(b'\\n'); match v.len() { 0 => {}, _ => () }",
    "% LaTeX: $\\frac{a}{b} \\leq \\sum_{i=1}^{n} x_i$ \\\\ \\begin{eq}\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [ ] todo\n- [x] done\n\n```py\nx = 1\n```\n",
    "diff --git a/x b/x\n@@ -1,3 +1,4 @@\n-old\n+new\n\r\nline\r\n",
]

EMOJI = "😀 😂🤣 👍🏽👎🏿 👩‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷🇯🇵 1️⃣#️⃣*️⃣ ❤️ ❤ ☺︎ ☺️ 🧑🏻‍🤝‍🧑🏿 🫠🫡 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🀄 🃏 ⌚ ‼️ ™️ 🈁".split(" ")

MARKS = [
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324a\u0303\u0332l\u0313\u0335g\u0324\u0327o\u0340\u0321",
    "e\u0301 e\u0301\u0323 e\u0323\u0301 a\u030a\u0301 \u1e69 s\u0323\u0307 s\u0307\u0323 \u1e9b\u0323",
    "a" + "\u0301" * 40, "a" + "\u0323\u0301" * 20 + "b", "\u0301start", "q\u0307\u0323\u0302", "\u0344\u0340\u0341\u0343",
    "\u1100\u1161\u11a8\uac00\u11a8\uac01\u1161", "\u0915\u093c\u0958", "\u0b47\u0b3e \u0bc6\u0bbe \u1025\u102e", "\ufb1d\ufb2a\ufb4f",
    "A\u030a \u212b \u2126 \u212a \u2260 =\u0338 <\u0338", "\u0f71\u0f72\u0f74 \u0f73 \u0f75", "\u3099\u304b\u3099 \u30cf\u309a",
    "a\u05b0\u094d\u3099\u0300", "\ud55c\uae00", "\u0061\u0315\u0300\u05ae\u0062", "\u1d15e\u1d165", "\U0001d15e \U0001d1bb",
    "\u0041\u0327\u030a \u00c5\u0327", "e\u0302\u0301e\u0301\u0302", "\u200d\u200c\ufeff\u2060word\u00ad-\u00adjoin",
]

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u00a0", "\u1680", "\u180e", "\u2003", "\u2009",
          "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"]

WORDS = ["a", "I", "the", "Hello", "world", "don", "We", "über", "été", "слово", "Привет", "字", "漢字", "こんにちは", "שלום", "नमस्ते", "x1", "R2D2", "word",
         "naïve", "token", "ization", "un", "believ", "able", "THE", "YOU", "ſ", "K", "ﬀ", "Ǆ", "İ", "ß", "ẞ", "straße"]

PUNCT = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "--", "''", "\"\"", "…", "—", "’", "“", "”", "。", "、", "！", "《", "»", "¿", "§", "¶", "†", "•", "€",
                                                       "£", "°", "©", "→", "∑", "😀", "👍🏽", "\u0301", "\u200d"]

NUMBERS = ["0", "1", "7", "12", "42", "123", "1234", "12345", "123456", "1234567", "20240315", "3.14", "1,000", "٣", "१२३", "１２", "²", "½", "Ⅻ", "㊿", "①", "𝟘𝟙",
           "၁၂", "๑๒๓๔", "〇", "三", "𐄇", "0x1F", "1e9", "007"]

ENDINGS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'rE", "'ve", "'VE", "'m", "'M", "'ll", "'LL", "'lL", "'d", "'D", "'ſ", "'x", "'", "''s", "’s", "'1", "' s", "'l",
           "'r", "'v", "'éa", "'tis"]

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<mask>", "<s>", "</s>", "<unk>", "##", "##ing", "<0x41>", "▁", "Ġ",
           "Ċ", "Ġthe", "<|a|>", "<|B|>", "<|", "|>", "foo", "Bar", "<n>", "<repo_name>", "<issue_start>"]

YOUNG = [0x897, 0x1C89, 0x1C8A, 0xA7CB, 0xA7DA, 0x105C0, 0x10D40, 0x10D4A, 0x10D50, 0x116D0, 0x11BC0, 0x11BF0, 0x11DE0, 0x13460, 0x16D70, 0x16FF4, 0x1CCF0, 0x1E5F1, 0x32FF, 0xA7F2,
         0x10781, 0x1E030, 0x1FBF0, 0x11938, 0x11935, 0x11930, 0x1ABF, 0x8CA, 0x2E52, 0x61D, 0x166D, 0x1734, 0x1885, 0x1FAE8, 0x2EBF0, 0x31350, 0x323AF, 0x378, 0xE000, 0xFFFF,
         0x10FFFF, 0xE0041, 0x2FFFE]


def strings():
    rng = random.Random(20261123)
    out = ["", " ", "  ", "\n", "\0", "a\0b", "a", "'", "\ufffd", "\ufeffbom", *SENTENCES, *CODE, *EMOJI, *MARKS]
    out += ["".join(EMOJI), "a" * 300, "ab" * 150, " " * 200, "\n" * 100, "1" * 100, "!" * 120, "\t \n" * 40, "x" * 101, "é" * 100, "é" * 101, "漢" * 60, "word " * 30, "🙂" * 20,
            " \u0301", "  \u0301a", "a'b'c'd's't", "''''", "'s", " 's", "\n's", "0's", "'s's", "I'LL I'Ll i'll I'M"]
    out += [chr(c) for c in range(0x20)] + [f"a{chr(c)}b {chr(c)} 1{chr(c)}" for c in [*range(0x20), *range(0x7F, 0xA1), 0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFFF9, 0xFFFC, 0xFFFD]]
    for c in YOUNG:
        out += [f"a{chr(c)}b {chr(c)}1", f"x \u0345{chr(c)}\u0301"]
    for w in ["I", "we", "DON", "漢", "été", "5", ")", ""]:
        out += [w + e for e in ENDINGS] + [w + e + rng.choice(["y", "Y", " y", "1", "!", "é"]) for e in ENDINGS]
    for a in SPACES:
        out += [a + "x", "x" + a, "x" + a + "y", a + "1" + a, "!" + a + "!", a * 3 + "z", "x" + a + " " + "y", "x " + a + "y", "x" + a + "\n" + a + "y"]
    pools = [SPACES, WORDS, PUNCT, NUMBERS, ENDINGS, SPECIAL]
    for weights, count in [((3, 4, 2, 2, 1, 0), 350), ((6, 1, 1, 1, 0, 0), 150), ((1, 2, 4, 1, 1, 0), 120), ((2, 1, 1, 5, 0, 0), 120), ((3, 3, 1, 1, 0, 4), 250)]:
        for _ in range(count):
            n = rng.randint(2, 9)
            out.append("".join(rng.choice(rng.choices(pools, weights)[0]) for _ in range(n)))
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x530), (0x530, 0x860), (0x900, 0xE00), (0xE00, 0x1200), (0x1200, 0x2000), (0x2000, 0x2C00),
              (0x2C00, 0x3130), (0x3130, 0x3400), (0xA000, 0xAC00), (0xAC00, 0xAD00), (0xF900, 0xFFF0), (0x10000, 0x11000), (0x11000, 0x12000), (0x16000, 0x17000), (0x1B000, 0x1D000),
              (0x1D000, 0x1E000), (0x1E000, 0x1F000), (0x1F000, 0x1FC00), (0x20000, 0x20100)]
    for _ in range(450):
        lo, hi = rng.choice(blocks)
        lo2, hi2 = rng.choice(blocks)
        n = rng.randint(1, 7)
        s = "".join(chr(rng.randrange(*rng.choice([(lo, hi), (lo, hi), (lo2, hi2), (0x20, 0x7B)]))) for _ in range(n))
        out.append(s)
    for _ in range(200):
        words = rng.choice(SENTENCES).split(" ")
        i = rng.randrange(len(words))
        s = rng.choice([" ", "  ", "\n"]).join(words[i : i + rng.randint(1, 4)])
        out.append(rng.choice([str.upper, str.lower, str.title, lambda x: unicodedata.normalize("NFD", x), lambda x: unicodedata.normalize("NFKC", x), lambda x: x[::-1]])(s))
    return list(dict.fromkeys(out))


if __name__ == "__main__":
    all_of_them = strings()
    print(len(all_of_them), "strings,", sum(len(s.encode()) for s in all_of_them), "bytes")
