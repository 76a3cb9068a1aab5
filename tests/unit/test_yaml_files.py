"""YAML files mean what people who write them mean."""

from headway.components._shared.yaml_files import load_yaml


def test_words_and_dates_are_text_and_only_true_and_false_are_booleans():
    text = "{allowed: [no, off, NO, y], on: 2013-01-01, yes: true, off: False, n: null, x: 1.5e3}"
    assert load_yaml(text) == {
        "allowed": ["no", "off", "NO", "y"],
        "on": "2013-01-01",
        "yes": True,
        "off": False,
        "n": None,
        "x": "1.5e3",
    }
