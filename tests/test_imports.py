"""Which way imports may point: the house as ARCHITECTURE.md draws it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

L2 = {"traffic", "response", "cvr", "market", "auctions", "policies", "pacing", "values", "observers"}
BASE = {"core", "kernels"}
ALLOWED: dict[str, set[str]] = {
    "version": set(),
    "core": {"core"},
    "kernels": BASE,
    **{room: BASE | {room} for room in L2},
    "incidents": BASE | {"cvr", "incidents"},
    "bidder": BASE | {"cvr", "observers", "bidder"},
    "engine": BASE | L2 | {"bidder", "engine", "version"},
    "scenario": BASE | L2 | {"bidder", "engine", "scenario"},
    "metrics": BASE | {"metrics"},
    "explain": BASE | {"cvr", "metrics", "explain"},
    "monitoring": BASE | {"metrics", "monitoring"},
    "reports": BASE | {"metrics", "explain", "monitoring", "reports"},
    "experiments": BASE
    | L2
    | {"bidder", "engine", "scenario", "metrics", "explain", "monitoring", "experiments", "version", "progress"}
    | {"interrupt"},
    "watching": BASE | {"scenario", "experiments", "metrics", "monitoring", "reports", "watching", "interrupt"},
    "commands": BASE
    | {"scenario", "experiments", "metrics", "explain", "monitoring", "reports", "commands"}
    | {"version", "progress", "interrupt", "watching"},
    "cli": {"core", "commands", "version", "interrupt"},
    "progress": {"interrupt"},
    "interrupt": set(),
}
FILES = sorted((ROOT / "bidsim").rglob("*.py"))


def _rooms(path: Path) -> set[str]:
    """Rooms that a file imports from, at its top or inside a function; ``bidsim`` for the front door."""
    return {
        room for node in ast.walk(ast.parse(path.read_text())) for room in _rooms_of(node, path) if room is not None
    }


def _rooms_of(node: ast.AST, path: Path) -> list[str | None]:
    if isinstance(node, ast.ImportFrom):
        package = ["bidsim", *path.relative_to(ROOT / "bidsim").parts[:-1]]
        base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
        module = ".".join(part for part in (base, node.module or "") if part)
        if module == "bidsim":  # from bidsim import x
            return [a.name if _is_room(a.name) else "bidsim" for a in node.names]
        return [_room(module)]
    if isinstance(node, ast.Import):
        return [_room(a.name) for a in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return [_room(a.value) for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return []


def _is_room(name: str) -> bool:
    return (ROOT / "bidsim" / name).is_dir() or (ROOT / "bidsim" / f"{name}.py").is_file()


def _room(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "bidsim":
        return None
    return parts[1] if len(parts) > 1 else "bidsim"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports__point_down_only(path: Path) -> None:
    room = path.relative_to(ROOT / "bidsim").parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    assert _rooms(path) <= ALLOWED[room]


def _reached(module: str) -> set[str]:
    """All modules of the package that a module imports, directly or not, those of the packages above it included."""
    found, left = set(), {module}
    while left:
        one = left.pop()
        path = ROOT / Path(*one.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if one in found or not file.is_file():
            continue
        found.add(one)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bidsim"):
                left |= {str(node.module), *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Import):
                left |= {a.name for a in node.names if a.name.startswith("bidsim")}
    return found


@pytest.mark.parametrize("module", [f"bidsim.bidder.{p.stem}" for p in (ROOT / "bidsim" / "bidder").glob("*.py")])
def test_bidder__reaches_neither_the_truth_nor_hidden_traffic(module: str) -> None:
    rooms = {m.split(".")[1] for m in _reached(module) if "." in m}
    assert rooms <= {"bidder", "core", "kernels", "cvr", "observers"}
    source = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text()
    assert "Latent" not in source
    assert not {m for m in _reached(module) if m.startswith("bidsim.cvr.")} - {"bidsim.cvr.features"}


@pytest.mark.parametrize(
    ("line", "room"),
    [
        ("import bidsim", "bidsim"),
        ("import bidsim.cli", "cli"),
        ("from bidsim import explain", "explain"),
        ("from bidsim import explain_result", "bidsim"),
        ("from bidsim.cli import main", "cli"),
        ("from ..explain import notebook", "explain"),
        ("from .. import cli", "cli"),
        ("importlib.import_module('bidsim.explain.notebook')", "explain"),
    ],
)
def test_imports__inside_functions_are_seen(line: str, room: str) -> None:
    node = next(n for n in ast.walk(ast.parse(f"def f():\n    {line}")) if _rooms_of(n, FILES[0]))
    assert _rooms_of(node, ROOT / "bidsim" / "core" / "result.py") == [room]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_manifest__is_read_through_facts(path: Path) -> None:
    """What a manifest holds is checked and typed in one place."""
    room = path.relative_to(ROOT / "bidsim").parts[0].removesuffix(".py")
    if room in ("metrics", "explain", "monitoring", "reports", "commands"):
        read = [
            n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute) and n.attr == "manifest"
        ]
        assert not read


def test_rooms__are_all_drawn() -> None:
    rooms = {p.name for p in (ROOT / "bidsim").iterdir() if p.is_dir() and not p.name.startswith("_")} - {
        "data",
        "scenarios",
    }
    assert rooms == set(ALLOWED) - {"version", "progress", "interrupt", "watching", "cli"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_source__has_no_eval_and_no_pickle(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "compile", "__import__")
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "pickle" not in ast.dump(node)


def test_versions__come_from_one_place() -> None:
    from bidsim.version import VERSION  # noqa: PLC0415

    assert f'version: "{VERSION}"' in (ROOT / "CITATION.cff").read_text()
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text()


def test_classes__have_a_name_each() -> None:
    """In the rooms that read results a word means one thing wherever it stands."""
    rooms = ("core", "metrics", "explain", "monitoring", "reports", "observers", "commands")
    places: dict[str, list[str]] = {}
    for path in [p for p in FILES if p.relative_to(ROOT / "bidsim").parts[0] in rooms]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
