"""The page of reports, and mathematics in it: well-formed, without a network, nothing lost."""

import re
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from refopt.oracle import digits, ledger, verify
from refopt.oracle.mathml import formula, html, mathematical
from refopt.oracle.page import page, place
from refopt.oracle.pictures import PICTURES, picture

VOID = {"meta", "input", "wbr"}


class Balanced(HTMLParser):
    """Raises where tags do not match; collects names of attributes that load something."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def reports():
    return verify(["bfgs.secant", "newton.sign-preserving", "trust-region.optimality"], examples=2)


def written(made=None):
    found = page(reports() if made is None else made, "0.0", "2 examples, seed 0")
    parser = Balanced()
    parser.feed(found)
    assert parser.open == []
    return found, parser


def test_the_page_is_whole_and_loads_nothing():
    found, parser = written()
    assert parser.loads == []
    assert "http" not in found
    for name in ("bfgs.<wbr>secant", "newton.<wbr>sign-preserving"):
        assert name in found


def test_each_claim_is_a_row_with_its_picture():
    found, _ = written()
    assert found.count("<tr id=") == found.count("<svg ") == 3
    assert found.count('<tr class="topic">') == 3
    assert ">✗ refuted<" in found
    assert bool(re.search(r"\d+ digits<", found)) == bool(digits.kind())
    assert found.count(">exact</td>") == 2


def test_what_failed_is_shown_with_its_code():
    failed = reports()[0]._replace(status="failed", worst=float("inf"), detail="1 < 2", code="print('<')")
    found, _ = written([failed])
    assert 'data-sort="1e+300"' in found
    assert "print(&#x27;&lt;&#x27;)" in found
    assert "#b3261e" in found


def test_what_was_not_computed_has_no_picture():
    skipped = reports()[0]._replace(status="skipped", cases=0, detail="needs a package")
    assert "<svg" not in written([skipped])[0]


@pytest.mark.parametrize(("value", "left"), [(0.0, 4), (1e-18, 4), (1e-9, 80), (1.0, 156), (float("inf"), 156)])
def test_the_axis_is_logarithmic(value, left):
    assert place(value) == pytest.approx(left)


@pytest.mark.parametrize("claim", ledger(), ids=lambda claim: claim.id)
def test_every_statement_becomes_well_formed_mathematics(claim):
    for text in (claim.says, claim.given, claim.corrected, claim.because):
        found = html(text)
        for tree in re.findall("<math>.*?</math>", found):
            ElementTree.fromstring(tree)
        assert len(re.sub(r"\W", "", unescape(re.sub("<[^>]*>", "", found)))) >= 0.8 * len(re.sub(r"\W", "", text))


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("yᵀs", "<msup><mi>y</mi><mrow><mo>T</mo></mrow></msup><mi>s</mi>"),
        ("eₖ²", "<msubsup><mi>e</mi><mrow><mi>k</mi></mrow><mrow><mn>2</mn></mrow></msubsup>"),
        ("Σⱼ≠ᵢ", "<msub><mi>Σ</mi><mrow><mi>j</mi><mo>≠</mo><mi>i</mi></mrow></msub>"),
        ("½L", "<mfrac><mn>1</mn><mn>2</mn></mfrac><mi>L</mi>"),
        ("a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        ("det B", '<mi>det</mi><mspace width="0.25em"></mspace><mi>B</mi>'),
        ("W^{−½}", '<msup><mi>W</mi><mrow><mo form="prefix">−</mo><mfrac><mn>1</mn><mn>2</mn></mfrac></mrow></msup>'),
        ("x = −g", '<mi>x</mi><mo>=</mo><mo form="prefix">−</mo><mi>g</mi>'),
        ("x − g", "<mi>x</mi><mo>−</mo><mi>g</mi>"),
        ("x̃", '<mover accent="true"><mi>x</mi><mo stretchy="false">~</mo></mover>'),
        ("x*", "<msup><mi>x</mi><mrow><mo>∗</mo></mrow></msup>"),
    ],
)
def test_formulas(text, made):
    assert formula(text) == f"<math>{made}</math>"


@pytest.mark.parametrize(
    "text", ["yᵀs", "f(x", "p)", "2n", "κ(A)", "Bssᵀ", "=", "x*", "min(λᵢ,", "H)WE", "tp)", "HyyᵀH/yᵀHy", "As)²"]
)
def test_mathematics_is_recognised(text):
    assert mathematical(text)


@pytest.mark.parametrize(
    "text",
    ["the", "BFGS", "SR1", "Gauss-Newton", "a", "If", "Broyden’s", "Ribière", "–", "(strong)", "(by", "of)", "As"],
)
def test_words_are_words(text):
    assert not mathematical(text)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_of_claims_and_well_formed(name):
    assert name in {claim.id for claim in ledger()}
    tree = ElementTree.fromstring(picture(name))
    lines = [part for part in tree if part.tag == "polyline"]
    assert len(lines) >= 1
    for line in lines:
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 410
            assert 0 <= y <= 220


def test_a_picture_without_its_package_is_left_out(monkeypatch):
    monkeypatch.setattr("refopt.oracle.pictures.find_spec", lambda name: None)
    assert picture("rates.newton") == ""
    assert picture("bfgs.secant") == ""


def test_words_and_formulas_alternate():
    assert html("With `B`, x = 1: a step") == (
        "With <code>B</code>, <math><mi>x</mi><mo>=</mo><mn>1</mn></math>: a step"
    )
    assert html("a = b") == "<math><mi>a</mi><mo>=</mo><mi>b</mi></math>"


def test_a_product_of_three_matrices_is_no_name():
    assert html("QAQᵀ") == "<math><mi>Q</mi><mi>A</mi><msup><mi>Q</mi><mrow><mo>T</mo></mrow></msup></math>"
    assert html("BFGS, KFAC⁻¹") == "BFGS, KFAC⁻¹"
