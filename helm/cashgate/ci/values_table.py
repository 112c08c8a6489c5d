"""Writes the README's table of values: what values.schema.json says of each, with the default of values.yaml. With --check it only compares."""

import json
import sys
from pathlib import Path

import yaml

BEGIN, END = "<!-- values_table.py: begin -->\n", "<!-- values_table.py: end -->\n"


def bounds(schema: dict) -> str:
    """What a value may be, in a few words."""
    if "enum" in schema:
        return ", ".join("null" if one is None else f"`{one}`" for one in schema["enum"])
    kinds = schema.get("type", "")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    words = {"object": "map", "array": "list", "boolean": "true, false", "string": "text"}
    said = [words.get(kind, kind) for kind in kinds]
    if "minimum" in schema:
        low, high = schema["minimum"], schema["maximum"]
        said = [f"{low} to {high:,}" if one == "integer" else one for one in said]
    return ", ".join(said)


def rows(schema: dict, defaults: object, path: str):
    for name, inner in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        default = defaults.get(name) if isinstance(defaults, dict) else None
        known = isinstance(defaults, dict) and name in defaults
        items = inner.get("items", {}) if inner.get("type") == "array" else {}
        if "properties" in inner or "properties" in items:
            yield here, "", "", inner.get("description", "")
            yield from rows(inner if "properties" in inner else items, default, here if "properties" in inner else f"{here}[]")
        else:
            shown = f"`{json.dumps(default, ensure_ascii=False)}`" if known and default not in ("", None, [], {}) else ""
            yield here, bounds(inner), shown, inner.get("description", "")


def unknown(schema: dict, defaults: object, path: str):
    """Defaults that the schema does not have."""
    for name, default in defaults.items() if isinstance(defaults, dict) else ():
        if "properties" in schema and name not in schema["properties"]:
            yield f"{path}{name}"
        elif "properties" in schema:
            yield from unknown(schema["properties"][name], default, f"{path}{name}.")


def main() -> None:
    chart = Path(__file__).parent.parent
    schema = json.loads((chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    strangers = list(unknown(schema, defaults, ""))
    silent = [path for path, _, _, said in rows(schema, defaults, "") if not said]
    if strangers or silent:
        sys.exit(f"values.schema.json lacks {strangers}, and says nothing of {silent}")
    table = "| value | may be | default | meaning |\n|---|---|---|---|\n"
    for path, may_be, default, said in rows(schema, defaults, ""):
        name = f"**`{path}`**" if not may_be else f"`{path}`"
        table += f"| {name} | {may_be} | {default} | {said} |\n".replace("\\", "\\\\")
    readme = chart / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    wanted = before + BEGIN + table + END + after
    if "--check" in sys.argv and wanted != text:
        sys.exit("helm/cashgate/README.md is behind values.yaml or values.schema.json: run helm/cashgate/ci/values_table.py")
    readme.write_text(wanted)


main()
