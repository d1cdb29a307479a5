import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from lockstep.errors import UnknownName
from lockstep.report import curves
from lockstep.report.drawings import CAPTIONS, draw, figures


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(params=["binary_frames", "multiclass_frames", "regression_frames"])
def frames(request):
    return request.getfixturevalue(request.param)


def test_each_figure_is_drawn_to_the_same_bytes_twice_whatever_the_machine_prefers(frames):
    once = figures(frames, "log loss")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert figures(frames, "log loss") == once
        assert mpl.rcParams["font.size"] == 30
    assert list(once) == [name for name in CAPTIONS if name in frames]
    assert set(frames) - set(once) <= {"confusion_rows"}


def test_a_figure_is_one_element_with_a_label_and_refers_to_nothing_outside(frames):
    for name, svg in figures(frames, "log loss").items():
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label").startswith(CAPTIONS[name][0])
        assert re.findall(r"https?://[^\"' ]*", svg) == ["http://www.w3.org/2000/svg"]
        assert "<style" not in svg


def test_ids_of_two_figures_never_meet(frames):
    ids = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in figures(frames, "log loss").values()]
    assert all(ids)
    assert len(set.union(*ids)) == sum(map(len, ids))


def test_every_reference_inside_a_figure_is_met(frames):
    for svg in figures(frames, "log loss").values():
        wanted = re.findall(r'(?:href="#|url\(#)([^")]*)', svg)
        assert wanted
        assert set(wanted) <= set(re.findall(r'\bid="([^"]*)"', svg))


def test_names_are_text_as_written_neither_markup_nor_formulas(multiclass_frames):
    drawn = texts(draw("confusion", multiclass_frames["confusion"], "log loss"))
    assert {"<b>one</b>", "$two^2$", '中 & "three"'} <= set(drawn)
    assert "a & <b>" in texts(draw("importance", multiclass_frames["importance"], "log loss"))


def test_the_confusion_shows_counts_and_shares_of_the_actual_class(binary_frames):
    drawn = texts(draw("confusion", binary_frames["confusion"], "log loss"))
    for row in binary_frames["confusion"].itertuples():
        assert f"{row.n_rows:,}" in drawn
        assert f"{100 * row.share:.1f} %" in drawn


def test_many_classes_are_drawn_with_the_rare_ones_together():
    y = np.repeat(np.arange(40), np.arange(40) + 1)
    frame = curves.confusion([f"class {i}" for i in range(40)], y, y)
    drawn = texts(draw("confusion", frame, "log loss"))
    assert "(21 others)" in drawn
    assert "class 39" in drawn
    assert "class 20" not in drawn
    assert drawn.count("100") == 20


def test_the_search_names_its_loss_and_families(regression_frames):
    drawn = texts(draw("search", regression_frames["search"], "RMSE"))
    assert {"least RMSE so far", "linear", "xgboost"} <= set(drawn)


def test_a_search_without_any_loss_is_drawn_empty():
    assert "trial" in texts(draw("search", curves.best_so_far({"linear": [None]}), "log loss"))
    assert "trial" in texts(draw("search", curves.best_so_far({}), "log loss"))


def test_rare_events_fill_the_calibration_figure():
    frame = pd.DataFrame(
        {
            "predicted": [0.01, 0.04],
            "observed": [0.01, 0.05],
            "low": [0.0, 0.03],
            "high": [0.02, 0.07],
            "n_rows": [90, 1_100],
        }
    )
    drawn = texts(draw("calibration", frame, "log loss"))
    assert "90 to 1,100 rows a bin" in drawn
    assert "1.0" not in drawn


def test_figures_stay_small(frames):
    sizes = {name: len(svg) for name, svg in figures(frames, "log loss").items()}
    assert max(sizes.values()) < 250_000


def test_an_unknown_figure_is_refused_with_the_near_match():
    with pytest.raises(UnknownName, match=r"no figure 'rok'; .*Did you mean 'roc'\?"):
        draw("rok", pd.DataFrame(), "log loss")
