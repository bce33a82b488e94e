"""Statements as they are written here, "‖e₊‖ ≤ η‖g‖ + ½L‖p‖²", as HTML with MathML: browsers draw it without a network.

What is between spaces is a word or a piece of mathematics; neighbouring pieces make one formula. In it numbers,
letters and signs are told apart, and raised and lowered characters become scripts of what they follow.
"""

import re
from html import escape
from itertools import groupby

FUNCTIONS = {"cos", "cosh", "det", "diag", "exp", "hi", "inf", "lim", "ln", "lo", "log", "max", "min", "sin", "tr"}
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵀᵏⁿᵖᵐⁱʲᵗᵈˢʳˣᵠ′″‴", "0123456789+−()Tknpmijtdsrxφ′″‴", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₖₙₘₚᵢⱼₓₗₜₛᵣ", "0123456789+−aeknmpijxltsr", strict=True))
FRACTIONS = dict(zip("½⅓⅔¼¾⅕⅖⅙⅛⅞", zip("1121312117", "2334455688", strict=True), strict=True))
ACCENTS = {"\u0302": "^", "\u0303": "~", "\u0304": "¯"}
SIGNS = "=<>≤≥≠≻⪰⪯+−±·∘⊗⊙→↦∈,;/"
FENCES = "()[]{}|‖"
WORDS = {"an", "as", "at", "be", "by", "do", "if", "in", "is", "it", "no", "of", "on", "or", "so", "to", "up", "we"}

TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)"
    rf"|(?P<name>(?:{'|'.join(sorted(FUNCTIONS, key=len, reverse=True))})(?![a-z]))"
    rf"|(?P<fraction>[{''.join(FRACTIONS)}])"
    rf"|(?P<up>[{''.join(RAISED)}]+|(?<=[A-Za-zα-ωΑ-Ω])\*)"
    rf"|(?P<down>[{''.join(LOWERED)}]+(?:≠[{''.join(LOWERED)}]+)*)"
    r"|(?P<script>[_^]\{[^}]*\}|[_^][−-]?[^\s_^])"
    r"|(?P<letter>[^\W\d_][\u0300-\u036f]*)"
    r"|(?P<space> )"
    r"|(?P<sign>\S)"
)


def html(text: str) -> str:
    """The text as HTML; in single backticks stands code."""
    parts = re.split(r"`(.+?)`", re.sub(r"\s{2,}", "\u2003", text.strip()))
    return "".join(f"<code>{escape(part)}</code>" if k % 2 else _prose(part) for k, part in enumerate(parts))


def _prose(text: str) -> str:
    chunks = re.split(r"(\s+)", text)
    kinds = [mathematical(chunk) for chunk in chunks]
    for k, chunk in enumerate(chunks):
        if chunk in ("a", "A"):  # an article, unless a sign is beside it
            kinds[k] = any(_is_sign(chunks[i]) for i in (k - 2, k + 2) if 0 <= i < len(chunks))
        if not chunk.strip() and 0 < k < len(chunks) - 1:
            kinds[k] = chunk == " " and kinds[k - 1] and mathematical(chunks[k + 1]) and chunks[k - 1][-1] not in ".:;"
    runs = groupby(zip(kinds, chunks, strict=True), key=lambda pair: pair[0])
    return "".join((formula if kind else escape)("".join(chunk for _, chunk in run)) for kind, run in runs)


def _is_sign(chunk: str) -> bool:
    return len(chunk) == 1 and chunk in SIGNS


def mathematical(chunk: str) -> bool:
    """Whether what is between spaces is mathematics."""
    core = chunk.strip(",.:;!?'’“”\"")
    if (
        not core
        or core.strip("()").lower() in WORDS
        or core in ("–", "-", "—", "…")
        or re.fullmatch(r"[A-Z]{2,}\d*", core)
    ):
        return False
    products = r"(?<![A-Z])[A-Z]{2,3}(?=[ᵀ⁻])"  # QAQᵀ is no name
    names = re.findall(r"[A-Za-zäéèöüïç]{3,}", re.sub(f"{'|'.join(FUNCTIONS)}|{products}", " ", core))
    if any(re.search("[aeiouäéèöü]", name) or name.isupper() for name in names):
        return False
    if not core.isascii():
        return not re.fullmatch(r"[A-Za-zà-ÿ'’-]+", core)
    words = re.findall(r"[A-Za-z]+", core)
    if all(len(word) == 1 or word in FUNCTIONS for word in words):
        return core not in ("a", "A", "e.g", "i.e", "(", ")")
    pair = re.fullmatch(r"\(*[A-Z][a-z]\)*|[a-z]{2}\)+", core)
    return bool(pair or re.search(r"\d|[=<>+/^]|[A-Za-z][()][A-Za-z]", core))


def formula(text: str) -> str:
    """One formula; punctuation at its end stays outside."""
    core = text.rstrip(" ,.:;")
    return f"<math>{''.join(_atoms(core))}</math>{escape(text[len(core) :])}"


def _atoms(text: str) -> list[str]:
    atoms, scripts = list[str](), list[dict[str, str]]()
    for match in TOKEN.finditer(text):
        kind, token = match.lastgroup or "", match.group()
        if kind in ("up", "down", "script"):
            where = "down" if kind == "down" or token[0] == "_" else "up"
            if not atoms:
                atoms.append("<mi></mi>")
                scripts.append({})
            scripts[-1][where] = scripts[-1].get(where, "") + _script(kind, token)
        elif kind != "space" or _apart(text, match.start()):
            before = text[: match.start()].rstrip()
            alone = token in "−±" and (not before or before[-1] in SIGNS + "([{")
            atoms.append(f'<mo form="prefix">{token}</mo>' if alone else _atom(kind, token))
            scripts.append({})
    return [_scripted(atom, found) for atom, found in zip(atoms, scripts, strict=True)]


def _apart(text: str, place: int) -> bool:
    """Whether the space there separates factors: signs make their own."""
    return text[place - 1] not in SIGNS and text[place + 1] not in SIGNS + FENCES


def _atom(kind: str, token: str) -> str:
    if kind == "space":
        return '<mspace width="0.25em"></mspace>'
    if kind == "fraction":
        return "<mfrac><mn>{}</mn><mn>{}</mn></mfrac>".format(*FRACTIONS[token])
    if len(token) == 2 and token[1] in ACCENTS:
        return f'<mover accent="true"><mi>{token[0]}</mi><mo stretchy="false">{ACCENTS[token[1]]}</mo></mover>'
    tag = {"number": "mn", "name": "mi", "letter": "mi"}.get(kind, "mo")
    tight = ' stretchy="false"' if token in FENCES else ""
    bars = ' lspace="0" rspace="0"' if token in "|‖" else ' form="infix"' if token == "+" else ""
    return f"<{tag}{tight}{bars}>{escape(token)}</{tag}>"


def _script(kind: str, token: str) -> str:
    if kind == "script":
        return "".join(_atoms(token[1:].strip("{}")))
    plain = "".join((RAISED | LOWERED | {"*": "∗", "≠": "≠"})[character] for character in token)
    return "".join(_atoms(plain)) if plain not in ("∗", "′", "″", "‴", "+", "T") else f"<mo>{plain}</mo>"


def _scripted(atom: str, found: dict[str, str]) -> str:
    down, up = (f"<mrow>{found[where]}</mrow>" if where in found else "" for where in ("down", "up"))
    if down and up:
        return f"<msubsup>{atom}{down}{up}</msubsup>"
    if down or up:
        return f"<msub>{atom}{down}</msub>" if down else f"<msup>{atom}{up}</msup>"
    return atom
