"""The JSON Schema of runbook files, for editors: what may stand where, made from the models and the table of actions.

docs/runbook.schema.json is this text; a test keeps it current. What takes more than a schema to see, the checker tells.
"""

import json
from typing import Any

from statemachines.actions import ACTIONS, COMMON_OUTCOMES, ActionSpec, Disruption
from statemachines.catalogue import MONITORS, SERVICES
from statemachines.checker.facts import CHANGED_BY
from statemachines.checker.findings import spell
from statemachines.model import FragmentFile, RunbookFile

Schema = dict[str, Any]
#: What no state may give a next state to, whatever its action.
_NEVER_NEXT = frozenset({"unknown", "more", "left"})


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """The schema of a file with a runbook or a fragment."""
    runbook = RunbookFile.model_json_schema(by_alias=True)
    fragment = FragmentFile.model_json_schema(by_alias=True)
    definitions = {**runbook.pop("$defs"), **fragment.pop("$defs"), "RunbookFile": runbook, "FragmentFile": fragment}
    _name_actions(definitions["StateModel"])
    _name_monitors(definitions["Handled"])
    runbook["properties"]["undo"] = {
        "description": runbook["properties"]["undo"]["description"],
        "type": "object",
        "properties": {setting: {"$ref": "#/$defs/UndoPolicy"} for setting in CHANGED_BY},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A runbook of exmedic",
        "oneOf": [{"$ref": "#/$defs/RunbookFile"}, {"$ref": "#/$defs/FragmentFile"}],
        "$defs": definitions,
    }


def _name_actions(state: Schema) -> None:
    """The actions by name, and for each its parameters and outcomes."""
    state["properties"]["do"] = {
        "description": "The action.",
        "oneOf": [{"const": spec.name, "description": _told(spec)} for spec in ACTIONS.values()],
    }
    state["oneOf"] = [{"required": ["do"]}, {"required": ["use"]}]
    state["allOf"] = [
        {
            "if": {"properties": {"do": {"const": spec.name}}, "required": ["do"]},
            "then": {"properties": _of_action(spec), "required": ["with"] if spec.params else []},
        }
        for spec in ACTIONS.values()
    ]


def _of_action(spec: ActionSpec) -> Schema:
    taken = {
        "service": {"anyOf": [{"enum": list(SERVICES)}, {"pattern": "^\\$[a-z][a-z0-9_]*$"}]},
        "minutes": {"type": "number", "exclusiveMinimum": 0},
    }
    outcomes = [outcome for outcome in (*spec.outcomes, *COMMON_OUTCOMES) if outcome not in _NEVER_NEXT]
    if spec.puts_back:
        outcomes = [outcome for outcome in outcomes if outcome in spec.goes_on]
    return {
        "with": {
            "properties": {
                param: taken.get(param, {"type": "string", "pattern": f"^\\$[a-z][a-z0-9_]*\\.{param}$"})
                for param in spec.params
            },
            "required": list(spec.params),
            "additionalProperties": False,
        },
        "then": {"properties": {outcome: {"type": "string"} for outcome in outcomes}, "additionalProperties": False},
    }


def _told(spec: ActionSpec) -> str:
    """An action in the words that an editor shows."""
    told = {Disruption.RESTART: "a restart", Disruption.MOVE: "a move", Disruption.REBOOT: "a reboot"}
    parts = [spec.summary.replace("{", "").replace("}", "")]
    parts += [f"disruptive: {told[spec.disrupts]}"] if spec.disrupts else []
    parts += [f"changes {spec.changes}"] if spec.changes else []
    return "; ".join([*parts, f"within {spell(spec.deadline)}"])


def _name_monitors(handled: Schema) -> None:
    """The names that exmedic knows, as proposals: a site may confirm others."""
    known = {
        "health_set": [one.health_set for one in MONITORS],
        "monitor": [*(one.name for one in MONITORS), ""],
        "probe": [one.probe for one in MONITORS if one.probe],
    }
    for field, names in known.items():
        description = handled["properties"][field].get("description", "")
        proposals: list[Schema] = [{"enum": list(dict.fromkeys(names))}, {"type": "string"}]
        handled["properties"][field] = {"description": description, "anyOf": proposals}
