from tests.blender.addon import load

prompts = load("scene.captions")


def test_pieces_begin_where_the_published_format_says():
    assert [prompts.first_frame(piece) for piece in (1, 2, 3)] == [0, 81, 161]


def test_a_text_holds_from_its_piece_on_and_the_prompt_before_the_first():
    entries = [(3, "a gate"), (2, "a bridge"), (3, "a tower")]
    assert prompts.captions(entries, "a valley", 4) == {"0": "a valley", "81": "a bridge", "161": "a tower"}
    assert prompts.captions([(1, "a lake"), *entries], "a valley", 1) == {"0": "a lake"}


def test_without_a_text_within_the_path_the_prompt_stands_alone():
    assert prompts.captions([], "a valley", 2) == {}
    assert prompts.captions([(5, "too late")], "a valley", 2) == {}
