"""Record the ids the official Qwen2 fast tokenizer gives for a list of strings.

    python tests/parity/record_tokenizer.py ggml-vocab-qwen2.gguf

The argument is a GGUF holding the real Qwen2 vocabulary and merges. The tokenizer is built as the Hub id
builds it: with the plain Qwen2 expression, not the one ``fix_mistral_regex`` puts in its place for a local
folder.
Needs ``transformers`` and ``gguf``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

OUT = Path(__file__).parent / "recorded" / "tokenizer_ids.json"
N_PLAIN = 151643  # ids below are bytes and merges; above are special tokens

STRINGS = [
    "Hello.",
    "Hello, world!",
    "assistant\n",
    "user\n",
    " leading space",
    "trailing space ",
    "two  spaces",
    "three   spaces   here",
    "tab\tand\ttab",
    "line\nline",
    "line\r\nline",
    "\n\n\n",
    "  \n  \n",
    " \n x",
    "x \n",
    "\u00a0no-break\u00a0space\u00a0",
    "\u3000ideographic\u3000space",
    "zero\u200bwidth\u200djoiner",
    "I'm sure they'll say it's what we've WE'D DON'T",
    "it\u2019s a curly apostrophe",
    "camelCaseWordsAndeBay",
    "snake_case_and-dash",
    "path/to/some/file.txt",
    "https://example.org/a?b=c&d=%20e#f",
    "user@example.org",
    "1234567890",
    "3.14159 and 2,718,281",
    "10:45 pm on 2024-02-29",
    "x\u00b2 + y\u00b2 = z\u00b2",
    "\u00bd \u2167 \u0663\u0664\u0665",
    "!!!???...",
    "(brackets) [square] {curly} <angle>",
    "\"quoted\" 'single' `tick`",
    "a+b=c; d*e/f%g^h~i|j\\k",
    "$5.00 \u20ac7,50 \u00a39 \u00a510",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
    "\u6211\u53eb\u901a\u4e49\u5343\u95ee\uff0c\u662f\u963f\u91cc\u4e91\u7684\u5f00\u6e90\u5927\u6a21\u578b\u3002",
    "\u4eca\u5929\u6c14\u6e29\u662f25\u2103\uff0c\u6e7f\u5ea660%\u3002",
    "\u7e41\u9ad4\u4e2d\u6587\u4e5f\u53ef\u4ee5\u3002",
    "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\uff01",
    "\u30ab\u30bf\u30ab\u30ca\u3068\u6f22\u5b57",
    "\u304c\u304e\u3050 \u304b\u3099\u304d\u3099\u304f\u3099",
    "\uff76\uff9e\uff77\uff9e \uff21\uff22\uff23",
    "\uc548\ub155\ud558\uc138\uc694, \uc138\uacc4!",
    "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u00bfQu\u00e9 tal, ni\u00f1o? \u00a1Ma\u00f1ana!",
    "Gr\u00f6\u00dfe, \u00c4rger, \u00dcbung \u2014 Stra\u00dfe",
    "\u00c7a va, \u00e0 bient\u00f4t, c\u0153ur et na\u00efvet\u00e9",
    "Cafe\u0301 re\u0301sume\u0301 combining",
    "n\u0303 o\u0308 s\u030c a\u030a stacked a\u0302\u0301",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0419 \u0438\u0306",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac: \u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1",
    "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0645\u0631\u062d\u0628\u064b\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "Ti\u1ebfng Vi\u1ec7t c\u00f3 d\u1ea5u",
    "\U0001f600\U0001f680\U0001f44d\U0001f3fd",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "\U0001f1e9\U0001f1ea\u2764\ufe0f flag and heart",
    "\U0001d54f\U0001d550 math \u2203x\u2208\u211d",
    "mixed \u4e2d\u6587 and English 123 \u304b\u306a",
    "qwentts.cpp is a minimal C++17 and GGML port.",
    "The quick brown fox jumps over the lazy dog.",
    "ALL CAPS AND Title Case",
    "a",
    " ",
    "",
    "\u007f\u0001 control",
    "\ufeffbyte order mark",
    "\u212b \u2126 \ufb01 singletons",
]


def main() -> None:
    """Write ``recorded/tokenizer_ids.json``: a list of ``{"text", "ids"}``."""
    from gguf import GGUFReader
    from transformers import Qwen2TokenizerFast

    fields = GGUFReader(sys.argv[1]).fields

    def strings(key: str) -> list[str]:
        field = fields[key]
        return [bytes(field.parts[i]).decode("utf-8") for i in field.data]

    vocab = {text: i for i, text in enumerate(strings("tokenizer.ggml.tokens")[:N_PLAIN])}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
        merges = "#version: 0.2\n" + "\n".join(strings("tokenizer.ggml.merges")) + "\n"
        (Path(folder) / "merges.txt").write_text(merges, encoding="utf-8")
        tokenizer = Qwen2TokenizerFast(f"{folder}/vocab.json", f"{folder}/merges.txt")
        cases = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in STRINGS]
    rows = ",\n".join(json.dumps(case) for case in cases)
    OUT.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    print(f"{OUT}: {len(cases)} strings")


if __name__ == "__main__":
    main()
