"""The Shapley values of trees against the definition: every subset of columns, followed through the nodes."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from lockstep.encoder import Part
from lockstep.errors import IntegrityError
from lockstep.families import Task, _tree_shap, hist_gradient
from lockstep.families._tree_shap import Trees, TreeShap

CATEGORY = Part("c", "c", "category", vocabulary=("p", "q", "r", "s", "t"))
INNER = (3, 4, 0, 1, 2)
"""The order of columns within scikit-learn, which puts codes first."""
PARTS = (*(Part(name, name, "number") for name in "abd"), CATEGORY, Part("e", "e", "category", vocabulary=("x", "y")))


def shapley(value, n_columns):
    """Return each column's Shapley value of the game ``value(known)``, by enumeration."""
    worth = {
        known: value(frozenset(known))
        for size in range(n_columns + 1)
        for known in combinations(range(n_columns), size)
    }
    found = np.zeros(n_columns)
    for i in range(n_columns):
        for known, before in worth.items():
            if i not in known:
                weight = 1 / (n_columns * comb(n_columns - 1, len(known)))
                found[i] += weight * (worth[tuple(sorted((*known, i)))] - before)
    return found, worth[()]


def expected(nodes, bits, row, known, node=0):
    """Follow scikit-learn's own nodes: a known column by its value, another into both children by their counts."""
    one = nodes[node]
    if one["is_leaf"]:
        return one["value"]
    left, right, column = one["left"], one["right"], INNER[one["feature_idx"]]
    if column not in known:
        total = nodes[left]["count"] + nodes[right]["count"]
        ways = [(nodes[child]["count"] / total, child) for child in (left, right)]
        return sum(share * expected(nodes, bits, row, known, child) for share, child in ways)
    cell = row[column]
    if np.isnan(cell):
        goes_left = one["missing_go_to_left"]
    elif one["is_categorical"]:
        goes_left = bits[one["bitset_idx"]][int(cell) // 32] >> np.uint32(int(cell) % 32) & 1
    else:
        goes_left = cell <= one["num_threshold"]
    return expected(nodes, bits, row, known, left if goes_left else right)


def table(n_rows, seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(n_rows, 3)), rng.integers(0, 5, n_rows), rng.integers(0, 2, n_rows)])
    X[rng.random(X.shape) < 0.15] = np.nan
    known = np.nan_to_num(X, nan=-1)
    return X, known[:, 0] * (known[:, 3] % 2) + known[:, 1] ** 2 + known[:, 4] * known[:, 2] + rng.normal(size=n_rows)


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_the_values_are_those_of_the_definition(tmp_path, n_classes):
    X, signal = table(400, seed=0)
    y = np.digitize(signal, [0.5, 2.0][: n_classes - 1]) if n_classes else signal
    task, settings = Task(n_classes, PARTS), {**hist_gradient.defaults(n_classes), "rounds": 4, "min_samples_leaf": 6}
    model = hist_gradient.fit(X, y, task, settings, seed=1, threads=1)
    model.save(tmp_path)
    rows = np.vstack([table(12, seed=9)[0], np.full((1, 5), np.nan), [[0.1, -2, 3, 5, 2]]])  # the last codes are unseen
    found = hist_gradient.load(tmp_path, task).contributions(rows)
    rows[-1, 3:] = np.nan

    nodes_of = [[(tree.nodes, tree.raw_left_cat_bitsets) for tree in trees] for trees in model._estimator._predictors]
    assert any(node["is_categorical"] for trees in nodes_of for nodes, _ in trees for node in nodes), (
        "codes are split on"
    )
    start = np.ravel(model._estimator._baseline_prediction)
    for i, row in enumerate(rows):
        for k in range(task.n_outputs):

            def value(known, row=row, k=k):
                return start[k] + sum(expected(*trees[k], row, known) for trees in nodes_of)

            values, base = shapley(value, len(PARTS))
            np.testing.assert_allclose(found.values[i, :, k], values, rtol=0, atol=1e-12)
            assert found.base[k] == pytest.approx(base, abs=1e-12)


def hand_made(*nodes):
    """Return trees of (left, right, column, threshold, cover, value); missing goes left, nothing splits on codes."""
    left, right, column, threshold, cover, value = (np.array(each) for each in zip(*nodes, strict=True))
    n_nodes = len(nodes)
    return Trees(
        left=left,
        right=right,
        column=column,
        threshold=threshold.astype(float),
        table=np.full(n_nodes, -1),
        codes=np.zeros((0, 1), dtype=np.uint8),
        missing_left=np.ones(n_nodes, dtype=bool),
        cover=cover.astype(float),
        value=value.astype(float),
        output=np.zeros(n_nodes, dtype=int),
    )


def leaf(cover, value):
    return (-1, -1, 0, 0, cover, value)


AND = hand_made((1, 2, 0, 0, 100, 0), leaf(50, 0), (3, 4, 1, 0, 50, 0), leaf(25, 0), leaf(25, 8))
"""Pays 8 where both columns are above zero, each of which half of the rows are."""


@pytest.mark.parametrize(
    ("row", "values"), [([1, 1], [3, 3]), ([1, -1], [1, -3]), ([-1, 1], [-3, 1]), ([-1, -1], [-1, -1])]
)
def test_two_columns_that_must_come_together_share_evenly(row, values):
    shap = TreeShap(AND, 3, 1)
    assert shap.base == pytest.approx([2])
    np.testing.assert_allclose(shap.values(np.array([[*row, 7.0]]))[0, :, 0], [*values, 0], atol=1e-15)


def test_a_column_on_which_nothing_splits_gets_nothing_at_all():
    values = TreeShap(AND, 3, 1).values(np.random.default_rng(0).normal(size=(20, 3)))
    assert (values[:, 2] == 0).all()
    assert (values[:, :2] != 0).all()


def test_a_tree_of_one_leaf_is_all_base():
    shap = TreeShap(hand_made(leaf(10, 3)), 2, 1)
    assert shap.base == [3]
    assert (shap.values(np.zeros((2, 2))) == 0).all()


def grown(n_columns, depth, rng):
    """Return one random tree; a column may split several times above a leaf."""
    nodes = []

    def grow(cover, left_to_go):
        here = len(nodes)
        nodes.append(leaf(cover, rng.normal()))
        if left_to_go and cover > 1 and rng.random() < 0.9:
            share = int(rng.integers(1, cover))
            left, right = grow(share, left_to_go - 1), grow(cover - share, left_to_go - 1)
            nodes[here] = (left, right, int(rng.integers(n_columns)), rng.normal(), cover, 0)
        return here

    grow(10_000, depth)
    return hand_made(*nodes)


def follow(trees, row, known, node=0):
    if trees.left[node] < 0:
        return trees.value[node]
    left, right = trees.left[node], trees.right[node]
    if trees.column[node] in known:
        return follow(trees, row, known, left if row[trees.column[node]] <= trees.threshold[node] else right)
    return sum(follow(trees, row, known, child) * trees.cover[child] for child in (left, right)) / trees.cover[node]


@pytest.mark.parametrize(("n_columns", "depth"), [(1, 4), (3, 7), (8, 7)])
@pytest.mark.parametrize("block", [1, 1 << 14], ids=["many blocks", "few blocks"])
def test_deep_trees_that_split_on_a_column_again_are_explained_exactly(monkeypatch, n_columns, depth, block):
    monkeypatch.setattr(_tree_shap, "BLOCK", block)
    rng = np.random.default_rng(n_columns)
    trees, rows = grown(n_columns, depth, rng), rng.normal(size=(3, n_columns))
    shap = TreeShap(trees, n_columns, 1)
    for row, found in zip(rows, shap.values(rows), strict=True):
        values, base = shapley(lambda known, row=row: follow(trees, row, known), n_columns)
        np.testing.assert_allclose(found[:, 0], values, rtol=0, atol=1e-13)
        assert shap.base[0] == pytest.approx(base, abs=1e-13)


def test_many_columns_above_a_leaf_are_still_summed_exactly():
    """A chain of forty columns: too many subsets to enumerate, but the sum is known, and so is symmetry."""
    n_columns = 40
    nodes = []
    for i in range(n_columns):
        nodes += [(2 * i + 1, 2 * i + 2, i, 0, 2.0 ** (n_columns - i), 0), leaf(2.0 ** (n_columns - i - 1), 0)]
    trees = hand_made(*nodes, leaf(1, 1e12))
    values = TreeShap(trees, n_columns, 1).values(np.ones((1, n_columns)))[0, :, 0]
    np.testing.assert_allclose(values, (1e12 - 1e12 / 2**n_columns) / n_columns, rtol=1e-12)


def test_a_model_that_does_not_say_how_many_rows_reached_its_nodes_is_refused():
    from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

    builder = ModelBuilder(
        threshold_type="float64",
        leaf_output_type="float64",
        metadata=Metadata(
            5, "kRegressor", average_tree_output=False, num_target=1, num_class=[1], leaf_vector_shape=(1, 1)
        ),
        tree_annotation=TreeAnnotation(1, target_id=[0], class_id=[0]),
        postprocessor=PostProcessorFunc("identity"),
        base_scores=[0.0],
    )
    builder.start_tree()
    builder.start_node(0)
    builder.leaf(4.0)
    builder.end_node()
    builder.end_tree()
    engine = hist_gradient.Treelite(builder.commit(), Task(0, PARTS))
    assert engine.predict(np.zeros((1, 5))) == [4]
    with pytest.raises(IntegrityError, match="must say how many rows reached each node, and does not"):
        engine.contributions(np.zeros((1, 5)))
