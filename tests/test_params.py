from pathlib import Path

import pytest
from pydantic import Field

from lockstep import params
from lockstep.errors import ContractError, ParamsError
from lockstep.params import Block, parse

LEAST = {"problem": "problem: binary", "source": "source: {kind: file}", "families": "families: [linear]"}
TOP = (
    "['evaluate', 'families', 'flow', 'package', 'problem', 'schedules', 'seed', 'source', 'split', 'tune', 'validate']"
)


@pytest.fixture
def load(tmp_path):
    """Load the smallest params.yaml, one block of it replaced or added."""

    def write_and_load(line=""):
        key = line.split(":")[0]
        lines = [text for name, text in LEAST.items() if name != key]
        (tmp_path / "params.yaml").write_text("\n".join([*lines, line]))
        return params.load(tmp_path)

    return write_and_load


def test_what_is_not_stated_has_its_default(load):
    loaded = load()
    assert (loaded.seed, loaded.split.kind, loaded.split.test, loaded.tune.trials) == (7, "random", 0.2, 12)
    assert loaded.validate_.max_quarantine == 0.05
    assert loaded.evaluate.cost is None


def test_what_is_stated_is_read(load):
    assert load("validate: {max_quarantine: 0.5, max_warnings: 0}").validate_.max_quarantine == 0.5
    assert load("split: {kind: predefined, column: part}").split.column == "part"
    assert load("evaluate: {cost: {false_positive: 1, false_negative: 2.5}}").evaluate.cost.false_negative == 2.5
    assert load("evaluate: {gates: {linear_margin: null}}").evaluate.gates.linear_margin is None
    assert load("tune: {seconds: null}").tune.seconds is None
    assert load("source: {kind: file, deep: [{path: x}]}").source["deep"] == [{"path": "x"}]


def test_settings_cannot_be_changed_after_reading(load):
    with pytest.raises(ValueError, match="frozen"):
        load().seed = 8


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trails: 3", f"unknown key 'trails'; expected one of {TOP}."),
        ("prob: 3", f"unknown key 'prob'; expected one of {TOP}. Did you mean 'problem'?"),
        ("validate_: {}", f"unknown key 'validate_'; expected one of {TOP}. Did you mean 'validate'?"),
        (
            "tune: {trails: 3}",
            "unknown key 'tune.trails'; expected one of ['batch', 'seconds', 'trials']. Did you mean 'trials'?",
        ),
        (
            "evaluate: {gates: {minimun: {a: 1}}}",
            "unknown key 'evaluate.gates.minimun'; expected one of ['better_than_trivial', 'linear_margin', 'maximum', "
            "'minimum']. Did you mean 'minimum'?",
        ),
        (
            "evaluate: {cost: {false_positive: 1, false_negtive: 2}}",
            "unknown key 'evaluate.cost.false_negtive'; expected one of ['false_negative', 'false_positive']. "
            "Did you mean 'false_negative'?",
        ),
        ("evaluate: {cost: {false_positive: 1}}", "evaluate.cost.false_negative is missing and must be given."),
        (
            "evaluate: {cost: {false_positive: 1, false_negative: 0}}",
            "evaluate.cost.false_negative must be greater than 0; got 0.",
        ),
        ("evaluate: {cost: 5}", "evaluate.cost must hold keys and values; got 5."),
        ("evaluate: {resamples: 49}", "evaluate.resamples must be at least 50; got 49."),
        ("evaluate: {gates: {linear_margin: -0.1}}", "evaluate.gates.linear_margin must be at least 0; got -0.1."),
        ("evaluate: {gates: {minimum: {f1: .nan}}}", "evaluate.gates.minimum.f1 must be a finite number; got nan."),
        ("tune: null", "tune must hold keys and values; got None."),
        ("tune: {trials: 0}", "tune.trials must be at least 1; got 0."),
        ("tune: {trials: 1000000}", "tune.trials must be at most 100000; got 1000000."),
        (
            "tune: {trials: many}",
            "tune.trials must be a valid integer, unable to parse string as an integer; got 'many'.",
        ),
        ("tune: {batch: 65}", "tune.batch must be at most 64; got 65."),
        ("tune: {seconds: 0}", "tune.seconds must be greater than 0; got 0."),
        ("tune: {seconds: .inf}", "tune.seconds must be a finite number; got inf."),
        ("seed: -1", "seed must be at least 0; got -1."),
        ("seed: 2147483648", "seed must be less than 2147483648; got 2147483648."),
        (
            "split: {kind: tme}",
            "no split.kind 'tme'; expected one of ['group', 'predefined', 'random', 'time']. Did you mean 'time'?",
        ),
        ("split: {kind: 5}", "no split.kind 5; expected one of ['group', 'predefined', 'random', 'time']."),
        (
            "split: {duplicates: kep}",
            "no split.duplicates 'kep'; expected one of ['group', 'keep']. Did you mean 'keep'?",
        ),
        ("split: {test: 0}", "split.test must be greater than 0; got 0."),
        ("split: {test: 1.0}", "split.test must be less than 1; got 1.0."),
        ("split: {test: .nan}", "split.test must be a finite number; got nan."),
        ("split: {folds: 1}", "split.folds must be at least 2; got 1."),
        ("split: {test: 0.9, holdout: 0.2}", "split.test + split.holdout must leave rows to train on; got 1.1."),
        ("split: {column: part}", "split.column must be given for kind 'predefined', and for no other."),
        ("split: {kind: predefined}", "split.column must be given for kind 'predefined', and for no other."),
        ("validate: {max_quarantine: 1.5}", "validate.max_quarantine must be at most 1; got 1.5."),
        ("package: {replay_rows: 0}", "package.replay_rows must be at least 1; got 0."),
        ("families: linear", "families must be a list; got 'linear'."),
        ("families: []", "families must have at least 1 item; got []."),
        ("families: [linear, linear]", "families must name each family once."),
        ("source: 5", "source must hold keys and values; got 5."),
        ("source: {path: x}", "source.kind must name a source, such as 'file'."),
        ("1: 2", "1 must be a name, as every key; put it into quotes if it is one."),
    ],
)
def test_a_misspelt_key_or_an_impossible_value_is_one_line_that_names_it(load, line, message):
    with pytest.raises(ParamsError) as refused:
        load(line)
    assert str(refused.value) == f"params.yaml: {message}"


@pytest.mark.parametrize("left_out", LEAST)
def test_what_has_no_default_must_be_given(tmp_path, left_out):
    (tmp_path / "params.yaml").write_text("\n".join(line for name, line in LEAST.items() if name != left_out))
    with pytest.raises(ParamsError, match=rf"^params.yaml: {left_out} is missing and must be given\.$"):
        params.load(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@host/shop",
        "postgresql://user:hunter2/x@host/shop",
        "mysql+driver://:hunter2@host",
        "https://user:hunter2@host:8080/a.csv",
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "source: {{kind: sql, url: '{}'}}",
        "source: {{kind: sql, more: [{{url: '{}'}}]}}",
        "source: '{}'",
        "source: ['{}']",
        "tune: {{trials: '{}'}}",
        "seed: '{}",
        "families: '{}'",
    ],
)
def test_a_password_in_a_url_is_refused_and_never_repeated(load, line, url):
    with pytest.raises(ParamsError, match=r"^params\.yaml") as refused:
        load(line.format(url))
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_message_on_a_password_says_what_to_do(load):
    with pytest.raises(ParamsError, match=r"written to dvc\.lock; put it into an environment variable"):
        load("source: {kind: sql, url: 'postgresql://user:hunter2@host/shop'}")


@pytest.mark.parametrize(
    "url",
    [
        "https://host:8080/a@b.csv",
        "https://host/a.csv",
        "postgresql://user@host/shop",
        "s3://bucket/key",
        "mail: me@host",
    ],
)
def test_a_url_without_a_password_passes(load, url):
    assert load(f"source: {{kind: sql, url: '{url}'}}").source["url"] == url


def test_a_missing_file_is_said_with_its_folder(tmp_path):
    with pytest.raises(ParamsError, match=rf"^params\.yaml is missing from {tmp_path}; a project has one at its top"):
        params.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"^params\.yaml must be YAML; while parsing a flow sequence .*\.$"),
        (b"\ta: 1", r"^params\.yaml must be YAML; .*cannot start any token"),
        (b"\xff\xfe", r"^params\.yaml must be YAML; 'utf-8' codec"),
        (b"- 1", r"^params\.yaml must hold keys and values; found list\.$"),
        (b"", r"^params\.yaml must hold keys and values; found NoneType\.$"),
    ],
)
def test_what_is_not_yaml_or_holds_no_keys_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(ParamsError, match=message) as refused:
        params.load(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_misspelt_key_is_found_inside_lists_dictionaries_and_unions_of_blocks():
    class Leaf(Block):
        size: int = 0

    class Tree(Block):
        leaf: Leaf | None = None
        listed: tuple[Leaf, ...] = ()
        named: dict[str, Leaf] = Field(default_factory=dict)

    for values, key in (
        ({"leaf": {"sise": 1}}, "leaf.sise"),
        ({"listed": [{}, {"sise": 1}]}, "listed.1.sise"),
        ({"named": {"size": {"sise": 1}}}, "named.size.sise"),
    ):
        with pytest.raises(
            ParamsError,
            match=rf"^params\.yaml: unknown key 'at\.{key}'; expected one of \['size'\]\. "
            r"Did you mean 'size'\?$",
        ):
            parse(Tree, values, "at")


def test_another_file_and_another_error_can_be_named():
    class Leaf(Block):
        size: int

    with pytest.raises(ContractError, match=r"^rows\.json: size is missing"):
        parse(Leaf, {}, file="rows.json", raises=ContractError)


def test_the_file_that_ships_is_valid():
    assert params.load(Path(__file__).parents[1]).families
