"""What the API offers is what the engine's packages have: options, limits, choices."""

from typing import get_args

import pytest

from backend.api import schemas
from lyra.depth import SCENES, VALUES
from lyra.engines import readiness
from lyra.pipeline.export import EXPORT_ITEMS
from lyra.world.options import DEFAULT_OPTIONS, OPTIONS, EngineOptions


def test_every_engine_option_can_be_chosen_within_its_limits():
    assert list(schemas.Options.model_fields) == list(OPTIONS)
    assert EngineOptions(**schemas.Options().model_dump()) == DEFAULT_OPTIONS
    fields = schemas.Options.model_json_schema()["properties"]
    for name, option in OPTIONS.items():
        assert fields[name]["description"] == option.help
        chosen = fields[name].get("anyOf", [fields[name]])[0]
        assert chosen.get("minimum") == option.min and chosen.get("maximum") == option.max
        assert tuple(chosen.get("enum", ())) == option.choices


@pytest.mark.parametrize(
    ("model", "field", "choices"),
    [
        (schemas.WorldSettings, "depth_values", VALUES),
        (schemas.WorldSettings, "depth_scene", SCENES),
        (schemas.EngineState, "status", get_args(readiness.Status)),
    ],
)
def test_choices_are_those_of_the_engine(model, field, choices):
    assert set(get_args(model.model_fields[field].annotation)) == set(choices)


def test_all_items_can_be_exported():
    assert set(get_args(schemas.ExportItem)) == set(EXPORT_ITEMS)
