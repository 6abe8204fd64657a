"""The JSON Schema of scenario files, with every plug-in's parameters filled in."""

from __future__ import annotations

from typing import Any

from bidsim.core.registry import find, names
from bidsim.scenario.choices import SHARED
from bidsim.scenario.model import ScenarioSettings

_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""What pydantic calls bounds of numbers that it reads by a function of ours, and what a schema calls them."""


def scenario_schema() -> dict[str, Any]:
    """Return the schema that an editor uses to complete and check scenario files."""
    schema = ScenarioSettings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "bidsim scenario"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Scenario file to start from; keys here are laid over it.",
    }
    schema["required"] = []
    filled: dict[str, Any] = _fill(schema)
    return filled


def _fill(node: Any) -> Any:
    if isinstance(node, dict):
        if "$plugin" in node:
            return _fill(_plugin_schema(node["$plugin"], node["$key"])) | {
                k: v for k, v in node.items() if k == "description"
            }
        return {
            _BOUNDS.get(key, key) if isinstance(value, int | float) else key: _fill(value)
            for key, value in node.items()
        }
    return [_fill(value) for value in node] if isinstance(node, list) else node


def _plugin_schema(family: str, key: str) -> dict[str, Any]:
    """Either the bare name, or a table with the name and that plug-in's parameters."""
    choices: list[dict[str, Any]] = []
    if family in ("policy", "pacing", "model"):
        choices.append({"type": "string", "examples": names(family)})
    for name in names(family):
        params = find(family, name).Params.model_json_schema()
        properties = {key: {"const": name}, **params.get("properties", {})}
        if family in SHARED:
            shared = SHARED[family].model_json_schema()["properties"]
            properties |= {k: v for k, v in shared.items() if k not in (key, "params")}
        choices.append(
            {
                "type": "object",
                "properties": properties,
                "additionalProperties": False,
                "description": params.get("description", ""),
                "required": [] if family == "auction" else [key],
            }
        )
    return {"anyOf": choices}
