from pathlib import Path

import pytest

from bidsim.core.registry import PluginNotFoundError, find, names

POLICY = """
from bidsim.core.contracts import OFFERS_SIGNATURE, Policy
from bidsim.core.kernel import kernel

@kernel(OFFERS_SIGNATURE)
def bid(offers, lo, hi, floats, ints):
    for k in range(lo, hi):
        offers.bid[k] = 1_000_000

class Flat(Policy):
    bid = bid
"""


def test_names__are_the_files_of_the_room() -> None:
    assert {"truthful", "shaded", "linear"} <= set(names("policy"))
    assert {"none", "even", "adaptive"} <= set(names("pacing"))
    assert {"lightgbm", "logistic", "oracle"} == set(names("model"))
    assert {"first_price", "second_price"} <= set(names("auction"))
    assert {"independent", "types", "auctiongym", "logged"} == set(names("values"))


def test_find__suggests_a_near_name() -> None:
    with pytest.raises(PluginNotFoundError, match="did you mean 'truthful'"):
        find("policy", "thruthful")


def test_find__loads_outside_code_only_where_allowed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POLICY)
    with pytest.raises(PluginNotFoundError, match="--allow-code"):
        find("policy", "mine:Flat")
    assert find("policy", "mine:Flat", tmp_path).__name__ == "Flat"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            POLICY.replace("offers.bid[k]", "offers.bidd[k]"),
            r"mine\.py fails to load at line 8: Offers has no field 'bidd', did you mean 'bid'\?$",
        ),
        (
            POLICY.replace("1_000_000", "str(k)"),
            r"fails to load at line 8: TypingError: .*setitem\(array\(int64, 1d, C\), int64",
        ),
        (
            POLICY.replace("range(lo", "range(low"),
            r"fails to load at line 7: name 'low' is not defined, did you mean 'lo'\?$",
        ),
        (
            POLICY + "\ndef f(valu):\n    return valu\nprint(valu)\n",
            r"fails to load at line 15: name 'valu' is not defined; known",
        ),
        (
            POLICY.replace("1_000_000", "clam(3)") + "\ndef clamp(x):\n    return x\n",
            r"fails to load at line 8: name 'clam' is not defined, did you mean 'clamp'\?$",
        ),
        (
            POLICY + "\nimport undefined\n",
            r"fails to load at line 13: name 'np' is not defined \(undefined\.py, line 2\)$",
        ),
        ("\ufeff" + POLICY + "\nx = y\n", r"fails to load at line 13: name 'y' is not defined"),
        (POLICY + "\nx = y\n", r"fails to load at line 13: name 'y' is not defined; known here: "),
        (POLICY + "\nimport json\njson.loads('[1,\\n2,\\n')\n", r"fails to load at line 14: JSONDecodeError"),
        (
            POLICY + "\nimport helper\n",
            r"fails to load at line 13: SyntaxError: invalid syntax \(helper\.py, line 4\)$",
        ),
        (POLICY + "\ndef (\n", r"fails to load at line 13: SyntaxError: invalid syntax$"),
    ],
)
def test_find__says_where_and_why_outside_code_does_not_load(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever one stands: numba tells files by their path from the working directory."""
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    (tmp_path / "undefined.py").write_text("\nnp.zeros(3)\n")
    (tmp_path / "helper.py").write_text("\n\n\ndef (")
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        with pytest.raises(PluginNotFoundError, match=message):
            find("policy", "mine:Flat", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine:Missing", "has no class"),
        ("other:Flat", "no file other.py"),
        ("../mine:Flat", "no file"),
        ("broken:Flat", "SyntaxError"),
    ],
)
def test_find__says_what_is_wrong_with_outside_code(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(POLICY)
    (tmp_path / "broken.py").write_text("def (")
    with pytest.raises(PluginNotFoundError, match=message):
        find("policy", name, tmp_path)
