from tests.blender.addon import load

captions = load("scene.captions")


def test_chunks_begin_where_the_published_format_says():
    assert [captions.first_frame(chunk) for chunk in (1, 2, 3)] == [0, 81, 161]


def test_a_text_holds_from_its_chunk_on_and_the_prompt_before_the_first():
    entries = [(3, "a gate"), (2, "a bridge"), (3, "a tower")]
    assert captions.captions(entries, "a valley", 4) == {"0": "a valley", "81": "a bridge", "161": "a tower"}
    assert captions.captions([(1, "a lake"), *entries], "a valley", 1) == {"0": "a lake"}


def test_without_a_text_within_the_path_the_prompt_stands_alone():
    assert captions.captions([], "a valley", 2) == {}
    assert captions.captions([(5, "too late")], "a valley", 2) == {}
