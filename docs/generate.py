"""Write the pages of the reference that are made from the code: ``python docs/generate.py``."""

from __future__ import annotations

import re
import sys
import tempfile
import textwrap
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bidsim.cli import main, make_parsers  # noqa: E402  (the checkout is not installed)
from bidsim.core.registry import find, names  # noqa: E402
from bidsim.core.units import format_duration  # noqa: E402
from bidsim.scenario.model import AuctionSettings  # noqa: E402
from bidsim.scenario.schema import scenario_schema  # noqa: E402

REFERENCE = ROOT / "docs" / "reference"
_COLUMNS = 120
_MOST_TYPES = 4
_UNION = "[distribution](#distributions)"
"""The one kind of union that there is; a test sees that the page has a section for each."""
_DURATION = "us|ms|s|m|h|d|w"
FAMILIES = {
    "policy": "Policies",
    "pacing": "Pacers",
    "auction": "Auction formats",
    "market": "Markets",
    "values": "Values",
    "model": "Models",
    "incident": "Incidents",
}


def prose(text: str) -> str:
    """Text as it stands in a page, in lines of 120 columns at most.

    Words stay whole, and so do commands that fit into a line.
    """
    whole = re.sub(rf"`[^`\n]{{1,{_COLUMNS - 20}}}`", lambda code: code[0].replace(" ", "\0"), text)
    return textwrap.fill(whole, _COLUMNS, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def command_line() -> str:
    """Help of every command."""
    parser, commands = make_parsers()
    parts = ["# Command line", "", "```text", parser.format_help().strip(), "```"]
    for name, command in commands.items():
        parts += ["", f"## {name}", "", "```text", command.format_help().strip(), "```"]
    parts += [
        "",
        prose(
            "Exit codes: 0 done; 1 something was found (an open incident, a case that does not hold); 2 something was "
            "typed wrong; 3 a run failed or was stopped. Colours and progress are shown on terminals only."
        ),
    ]
    return "\n".join(parts) + "\n"


def scenario_keys() -> str:
    """Every key, its type, default and meaning, out of the schema; then the parameters of every plug-in."""
    schema = scenario_schema()
    parts = [
        "# Scenario keys",
        "",
        prose(
            "Made from the schema that `bidsim schema` prints. `extends` names a file, or a scenario that comes with "
            "bidsim, to stand on."
        ),
        "",
    ]
    parts += _table("(top)", schema, schema["$defs"])
    for family, title in FAMILIES.items():
        parts += ["", f"## {title}", ""]
        for name in names(family):
            plugin = find(family, name)
            parts += [f"### {name}", "", prose((plugin.__doc__ or "").strip().split("\n")[0]), ""]
            rows = _rows(
                "", plugin.Params.model_json_schema(), plugin.Params.model_json_schema().get("$defs", {}), set()
            )
            parts += [*_header(), *rows, ""] if rows else []
    params = [find(family, name).Params.model_json_schema() for family in FAMILIES for name in names(family)]
    for title, variants in _unions([schema, *params]).items():
        told = f"A table whose `{variants[0][0]}` says which one it is, and that has its keys."
        parts += ["", f"## {title}", "", told, ""]
        for tag, name, variant in variants:
            rows = [_row(key, spec) for key, spec in variant["properties"].items() if key != tag]
            parts += [f"### {name}", "", variant.get("description", "").replace("``", "`"), "", *_header(), *rows, ""]
    return "\n".join(parts).rstrip() + "\n"


def _unions(schemas: list[dict[str, Any]]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Of every union of tables that a key tells apart: title -> (that key, its value, schema) of each variant."""
    found: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}

    def look(node: Any, defs: dict[str, Any]) -> None:
        if isinstance(node, dict) and "discriminator" in node:
            tag, mapping = node["discriminator"]["propertyName"], node["discriminator"]["mapping"]
            order = [option["$ref"] for option in node["oneOf"]]
            listed = sorted(mapping.items(), key=lambda pair: order.index(pair[1]))
            variants = [(tag, name, defs[place.rsplit("/", 1)[-1]]) for name, place in listed]
            found.setdefault(_noun(variants[0][2], tag).capitalize() + "s", variants)
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            look(inner, defs)

    for schema in schemas:
        look(schema, schema.get("$defs", {}))
    return found


def _noun(variant: dict[str, Any], tag: str) -> str:
    """What the variants of a union are: the key that tells them apart says "Which distribution."."""
    told: str = variant["properties"][tag]["description"]
    return told.removeprefix("Which ").rstrip(".")


def _header() -> list[str]:
    return ["| key | type | default | meaning |", "|---|---|---|---|"]


def _table(title: str, schema: dict[str, Any], defs: dict[str, Any]) -> list[str]:
    """One section a table of the file."""
    plain, sections = [], []
    for key, spec in schema["properties"].items():
        inner = _resolved(spec, defs)
        if inner is not None and "properties" in inner[1]:
            sections.append((inner[0].format(key=key), inner[1]))
        else:
            plain.append(_row(key, spec))
    parts = [f"## {title}" if title != "(top)" else "## At the top", "", *([*_header(), *plain] if plain else [])]
    for name, inner_schema in sections:
        parts += [
            "",
            f"## `{name}`",
            "",
            inner_schema.get("description", ""),
            "",
            *_header(),
            *_rows("", inner_schema, defs, set()),
        ]
    auction = AuctionSettings.model_json_schema()
    kept = {key: spec for key, spec in auction["properties"].items() if key != "params"}
    parts += [
        "",
        "## `[auction]`",
        "",
        "How impressions are sold; beside these keys stand those of the [format](#auction-formats).",
        "",
        *_header(),
    ]
    return [*parts, *_rows("", {"properties": kept}, auction.get("$defs", {}), set())]


def _resolved(spec: dict[str, Any], defs: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Heading and schema of a table that a key holds: itself, by name, or in a list."""
    for option in [spec, *spec.get("anyOf", [])]:
        if "$ref" in option:
            return "[{key}]", defs[option["$ref"].rsplit("/", 1)[-1]]
        if isinstance(option.get("additionalProperties"), dict) and "$ref" in option["additionalProperties"]:
            return "[{key}.NAME]", defs[option["additionalProperties"]["$ref"].rsplit("/", 1)[-1]]
        if isinstance(option.get("items"), dict) and "$ref" in option["items"]:
            return "[[{key}]]", defs[option["items"]["$ref"].rsplit("/", 1)[-1]]
    return None


def _rows(prefix: str, schema: dict[str, Any], defs: dict[str, Any], seen: set[str]) -> list[str]:
    rows = []
    for key, spec in schema.get("properties", {}).items():
        inner = _resolved(spec, defs)
        if inner is not None and "properties" in inner[1] and inner[1].get("title", key) not in seen:
            name = inner[0].format(key=key).strip("[]")
            rows += [
                _row(f"{prefix}{key}", spec),
                *_rows(f"{prefix}{name}.", inner[1], defs, seen | {inner[1].get("title", key)}),
            ]
        else:
            rows.append(_row(f"{prefix}{key}", spec))
    return rows


def _row(key: str, spec: dict[str, Any]) -> str:
    default = spec.get("default")
    if isinstance(default, int) and _DURATION in str(spec):
        default = format_duration(default)
    shown = (
        ""
        if default is None or (isinstance(default, dict | list) and default)
        else f"`{default}`".replace("True", "true").replace("False", "false")
    )
    meaning = (
        " ".join(str(spec.get("description", "")).split()).replace("|", "\\|").replace("<", "&lt;").replace("``", "`")
    )
    return f"| `{key}` | {_type(spec)} | {shown} | {meaning} |"


def _type(spec: dict[str, Any]) -> str:
    """Type of a key in a word or two, with its bounds."""
    if "const" in spec:
        return f"`{spec['const']}`"
    if "enum" in spec:
        return " or ".join(f"`{v}`" for v in spec["enum"])
    if "$ref" in spec:
        return "table"
    inner = spec.get("additionalProperties")
    if "discriminator" in spec or (isinstance(inner, dict) and "discriminator" in inner):
        return _UNION if "discriminator" in spec else f"table of names, each a {_UNION}"
    if "anyOf" in spec:
        told = list(dict.fromkeys(_type(option) for option in spec["anyOf"] if option.get("type") != "null"))
        return " or ".join(told) if len(told) <= _MOST_TYPES else "name or table"
    kind = {
        "number": "number",
        "integer": "whole number",
        "string": "text",
        "boolean": "true or false",
        "array": "list",
        "object": "table",
        None: "any",
    }[spec.get("type")]
    signs = dict.fromkeys(("minimum", "ge"), ">=") | dict.fromkeys(("exclusiveMinimum", "gt"), ">")
    signs |= dict.fromkeys(("maximum", "le"), "&lt;=") | dict.fromkeys(("exclusiveMaximum", "lt"), "&lt;")
    bounds = [
        f"{sign} {spec[name]:,}" if isinstance(spec[name], int) else f"{sign} {spec[name]:g}"
        for name, sign in signs.items()
        if name in spec
    ]
    return ", ".join([kind, *bounds])


def errors() -> str:
    """Every mistake of the catalogue and what is said about it."""
    from tests.catalogue import MISTAKES, tried  # noqa: PLC0415
    from tests.conftest import SMALL  # noqa: PLC0415

    parts = [
        "# Errors",
        "",
        prose(
            f"{len(MISTAKES)} things that go wrong, and what bidsim says. Each ends in one block on standard error, "
            "with exit code 2 (typed wrong) or 3 (a run failed); nothing that was there is lost."
        ),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.toml").write_text(SMALL, encoding="utf-8")
        with redirect_stdout(StringIO()):
            main(["run", str(folder / "small.toml"), "--out", str(folder / "run")])
        group = ""
        for k, mistake in enumerate(MISTAKES):
            if mistake.group != group:
                group = mistake.group
                parts += ["", f"## {group}"]
            place = folder / f"m{k}"
            place.mkdir()
            _, told = tried(mistake, place, folder / "run")
            parts += [
                "",
                prose(f"**{mistake.title[0].upper()}{mistake.title[1:]}** `{mistake.done}`"),
                "",
                "```text",
                told,
                "```",
            ]
    return "\n".join(parts) + "\n"


def examples() -> None:
    """Put the files of ``docs/examples/`` into the pages that show them."""
    for page in (ROOT / "docs/howto").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(with_examples(text), encoding="utf-8")


def with_examples(text: str) -> str:
    """The text of a page with each marked block as its file is now."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n```python\n{(ROOT / found[1]).read_text(encoding='utf-8')}```\n"

    return re.sub(
        r"<!-- (docs/examples/\w+\.py) -->\n```python\n.*?^```\n", block, text, flags=re.DOTALL | re.MULTILINE
    )


PAGES = {"command-line.md": command_line, "scenario.md": scenario_keys, "errors.md": errors}

if __name__ == "__main__":
    examples()
    for file, make in PAGES.items():
        (REFERENCE / file).write_text(make(), encoding="utf-8")
        print(f"wrote docs/reference/{file}")
