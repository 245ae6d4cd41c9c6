"""Arguments of the command line: values that are refused, and help that is true."""

import argparse

import pytest

from lyra.cli.arguments import add_options, engine_options, parse_seed, parse_size
from lyra.cli.main import build_parser
from lyra.common.errors import InvalidInputError
from lyra.depth import CHOICES, SCENES, VALUES
from lyra.engines import available_engines
from lyra.world.options import OPTIONS


def actions_of(command):
    (commands,) = (
        action for action in build_parser()._actions if action.dest == "==SUPPRESS==" or action.choices
    )
    return {action.dest: action for action in commands.choices[command]._actions}


@pytest.mark.parametrize("text", ["832", "832x", "x480", "832*480", "-832x480", "1x1", "832x480x3"])
def test_a_size_that_is_none_is_quoted_with_the_form(text):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        parse_size(text)
    assert str(error.value) == f"{text!r} is not a valid size; use WIDTHxHEIGHT, e.g. 832x480"
    assert parse_size("832x480") == (480, 832)


@pytest.mark.parametrize("text", ["-1", "2147483648", "x", "1.0", ""])
def test_a_seed_that_is_none_is_quoted_with_the_range(text):
    with pytest.raises(
        argparse.ArgumentTypeError, match="valid seed; use a whole number from 0 to 2147483647"
    ):
        parse_seed(text)
    assert parse_seed("2147483647") == 2**31 - 1


def test_help_and_choices_are_those_of_the_parts():
    actions = actions_of("generate")
    for name in CHOICES:
        assert name in actions["depth_model"].help
    for info in available_engines():
        assert info.id in actions["engine"].help
    assert set(actions["depth_scene"].choices) == set(SCENES)
    assert set(actions["depth_values"].choices) == set(VALUES)
    for command in ("generate", "extend"):
        for name, option in OPTIONS.items():
            assert actions_of(command)[name].help == option.described


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--steps", "0"], "steps is 0; choose 1 to 200"),
        (["--guidance", "nan"], "guidance is nan"),
        (["--memory-mode", "paper"], "Unknown memory mode 'paper'; choose one of resident, fp8, offload"),
    ],
)
def test_an_engine_option_out_of_range_is_refused_with_the_range_of_the_engine(given, says):
    parser = argparse.ArgumentParser()
    add_options(parser)
    with pytest.raises(InvalidInputError, match=says):
        engine_options("lyra2", parser.parse_args(given))
