import textwrap

import pytest

from lockstep import families, plugins
from lockstep.errors import ProjectError, UnknownName


@pytest.fixture
def own_families(tmp_path, monkeypatch):
    """Let ``tmp_path`` hold further families, as a project's own file in the folder would."""
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    return tmp_path


def write(folder, name, source):
    (folder / f"{name}.py").write_text(textwrap.dedent(source))


@pytest.mark.parametrize("axis", ["problems", "families"])
def test_every_name_of_an_axis_loads_the_file_of_that_name(axis):
    for name in plugins.names(axis):
        assert plugins.load(axis, name).__name__ == f"lockstep.{axis}.{name}"


def test_the_names_are_sorted_and_hold_what_ships():
    found = plugins.names("families")
    assert found == sorted(found)
    assert {"linear", "hist_gradient", "xgboost"} <= set(found)
    assert {"binary", "multiclass", "regression"} <= set(plugins.names("problems"))


def test_a_new_file_is_a_new_name_and_a_leading_underscore_hides_one(own_families):
    write(own_families, "ours_alone", "ANSWER = 42")
    write(own_families, "_shared", "")
    assert "ours_alone" in plugins.names("families")
    assert "_shared" not in plugins.names("families")
    assert plugins.load("families", "ours_alone").ANSWER == 42


@pytest.mark.parametrize(
    ("axis", "name", "message"),
    [
        (
            "families",
            "xgbost",
            r"^params.yaml: no family named 'xgbost'; expected one of \[.*\]\. Did you mean 'xgboost'",
        ),
        ("problems", "binry", r"^params.yaml: no problem named 'binry'; .* Did you mean 'binary'\?$"),
        ("problems", "zzz", r"^params.yaml: no problem named 'zzz'; expected one of \['binary', .*'regression'\]\.$"),
    ],
)
def test_a_typo_is_answered_with_the_list_and_the_near_match(axis, name, message):
    with pytest.raises(UnknownName, match=message):
        plugins.load(axis, name)


def test_a_missing_package_hurts_only_when_its_plugin_is_chosen(own_families):
    write(own_families, "needs_more", "import a_package_that_nobody_has")
    assert plugins.load("families", "linear")
    with pytest.raises(
        ProjectError,
        match=r"^family 'needs_more' needs the package 'a_package_that_nobody_has', which "
        r"is not installed; .*'linear'",
    ):
        plugins.load("families", "needs_more")


def test_a_broken_import_of_our_own_is_not_called_a_missing_package(own_families):
    write(own_families, "misspelt", "import lockstep.famlies")
    with pytest.raises(ModuleNotFoundError, match=r"lockstep\.famlies"):
        plugins.load("families", "misspelt")
