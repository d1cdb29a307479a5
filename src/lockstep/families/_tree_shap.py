"""Shapley values of trees, exact: what each column of the matrix adds to the sum of the leaves that a row reaches.

A column that is not known is followed into both children, weighted by the training rows that went there (Lundberg,
Erion and Lee, *Consistent Individualized Feature Attribution for Tree Ensembles*, 2018). A leaf of value v is then a
game of its own: with the columns S known it pays v * prod(o_j for j in S) * prod(z_j for j not in S), where o_j says
whether the row passes all splits on column j above the leaf, and z_j is the share of training rows that did. A
player's Shapley value is the integral of what it adds to a coalition that each other joins by chance t (Owen,
*Multilinear extensions of games*, 1972):

    v * (o_i - z_i) * integral over t from 0 to 1 of prod(o_j * t + z_j * (1 - t) for j != i)

which is a polynomial of degree d - 1 for d columns above the leaf, so ceil(d / 2) Gauss-Legendre nodes are exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Positions = NDArray[np.intp]
Flags = NDArray[np.bool_]

BLOCK = 1 << 14
"""Pairs of leaf and column that are computed at once; they fit the processor's cache."""


@dataclass(frozen=True)
class Trees:
    """All nodes of an ensemble, its trees one after another."""

    left: Positions
    """Position of the left child; -1 of a leaf."""
    right: Positions
    column: Positions
    """Of the matrix, on which a node splits."""
    threshold: Array
    """Of a split on a number: up to it a row goes left."""
    table: Positions
    """Of a split on codes, its row in ``codes``; -1 elsewhere."""
    codes: NDArray[np.uint8]
    """One bit for each code, lowest first: whether it goes left."""
    missing_left: Flags
    cover: Array
    """Training rows that reached a node."""
    value: Array
    """Of a leaf."""
    output: Positions
    """To which output the node's tree adds."""

    def goes_left(self, row: Array) -> Flags:
        """Say of every node whether it sends a row of the matrix to the left."""
        found = row[self.column]
        left = found <= self.threshold
        on_codes = np.flatnonzero(self.table >= 0)
        code = np.nan_to_num(found[on_codes]).astype(np.intp)
        left[on_codes] = self.codes[self.table[on_codes], code >> 3] >> (code & 7) & 1
        return np.where(np.isnan(found), self.missing_left, left)


@dataclass(frozen=True)
class Block:
    """Some leaves below the same number of distinct columns; arrays are of shape (n_columns, n_leaves)."""

    share: Array
    cell: Positions
    """Where each contribution is added, column by output."""
    value: Array
    split: Positions
    """The nodes above the leaves, one leaf and column after the other."""
    to_left: Flags
    """Whether the leaf lies to the left of them."""
    first: Positions
    """Position of the first of them for each leaf and column."""

    def values(self, goes_left: Flags) -> Array:
        """Return what each column adds through each leaf, for one row."""
        n_columns, n_leaves = self.share.shape
        passed = np.logical_and.reduceat(goes_left[self.split] == self.to_left, self.first)
        passes = passed.reshape(n_leaves, n_columns).T.astype(np.float64)
        integral = np.zeros_like(self.share)
        for chance, weight in _nodes(n_columns):
            factors = passes * chance + self.share * (1 - chance)
            integral += weight * factors.prod(axis=0) / factors
        return (passes - self.share) * integral * self.value


class TreeShap:
    """Explains an ensemble, one row after another, so that a row's values never depend on others."""

    def __init__(self, trees: Trees, n_columns: int, n_outputs: int) -> None:
        self._trees, self._shape = trees, (n_columns, n_outputs)
        leaves = np.flatnonzero(trees.left < 0)
        paths = _paths(trees, leaves)
        reached = np.ones(len(leaves))
        np.multiply.at(reached, paths.leaf, paths.share)
        self.base = np.bincount(trees.output[leaves], trees.value[leaves] * reached, minlength=n_outputs)
        """The mean of the sum of leaves over the training rows, for each output."""
        self._blocks = list(_blocks(trees, leaves, paths, self._shape))

    def values(self, X: Array) -> Array:
        """Return what each column adds for each row, shape (n_rows, n_columns, n_outputs)."""
        found = np.zeros((len(X), *self._shape))
        for row, into in zip(X, found, strict=True):
            goes_left, flat = self._trees.goes_left(row), into.reshape(-1)
            for block in self._blocks:
                flat += np.bincount(block.cell, block.values(goes_left).ravel(), minlength=flat.size)
        return found


@dataclass(frozen=True)
class Paths:
    """The steps from each leaf up to its root."""

    leaf: Positions
    """Position of the leaf among the leaves."""
    split: Positions
    """The node above."""
    to_left: Flags
    """Whether the leaf lies to the left of it."""
    share: Array
    """Of the training rows at the split those that went towards the leaf."""


def _paths(trees: Trees, leaves: Positions) -> Paths:
    inner = np.flatnonzero(trees.left >= 0)
    above, to_left = np.full(len(trees.left), -1), np.zeros(len(trees.left), dtype=bool)
    above[trees.left[inner]] = above[trees.right[inner]] = inner
    to_left[trees.left[inner]] = True
    leaf, node = np.arange(len(leaves)), leaves
    steps = [Paths(leaf[:0], node[:0], to_left[:0], trees.cover[:0])]
    while len(node):
        below = above[node] >= 0
        leaf, node = leaf[below], node[below]
        split = above[node]
        steps.append(Paths(leaf, split, to_left[node], trees.cover[node] / trees.cover[split]))
        node = split
    names = Paths.__dataclass_fields__
    return Paths(**{name: np.concatenate([getattr(step, name) for step in steps]) for name in names})


def _blocks(trees: Trees, leaves: Positions, paths: Paths, shape: tuple[int, int]) -> Iterator[Block]:
    """Merge the splits of a leaf on one column, and put leaves below equally many columns together."""
    n_columns, n_outputs = shape
    column = trees.column[paths.split]
    depth = np.bincount(np.unique(paths.leaf * n_columns + column) // n_columns, minlength=len(leaves))
    order = np.lexsort((column, paths.leaf, depth[paths.leaf]))
    leaf, column, split, to_left = paths.leaf[order], column[order], paths.split[order], paths.to_left[order]
    first = np.flatnonzero(np.r_[True, (np.diff(leaf) != 0) | (np.diff(column) != 0)][: len(leaf)])
    ends = np.r_[first[1:], len(leaf)]
    for pairs, d in _cut(depth[leaf[first]]):
        steps, starts = slice(first[pairs.start], ends[pairs.stop - 1]), first[pairs]
        node = leaves[leaf[starts]].reshape(-1, d).T
        share = np.multiply.reduceat(paths.share[order[steps]], starts - steps.start)
        cell = column[starts].reshape(-1, d).T * n_outputs + trees.output[node]
        yield Block(
            share=np.ascontiguousarray(share.reshape(-1, d).T),
            cell=cell.ravel(),
            value=trees.value[node[0]],
            split=split[steps],
            to_left=to_left[steps],
            first=starts - steps.start,
        )


def _cut(depth: Positions) -> Iterator[tuple[slice, int]]:
    """Cut pairs of leaf and column, those of few columns first, where that number changes or a block is full."""
    start = 0
    for d, n_pairs in zip(*np.unique(depth, return_counts=True), strict=True):
        size = max(BLOCK // int(d), 1) * int(d)
        yield from ((slice(i, min(i + size, start + n_pairs)), int(d)) for i in range(start, start + n_pairs, size))
        start += n_pairs


@cache
def _nodes(n_columns: int) -> list[tuple[float, float]]:
    """Return places and weights that integrate a polynomial of degree ``n_columns - 1`` over 0 to 1 exactly."""
    places, weights = np.polynomial.legendre.leggauss((n_columns + 1) // 2)
    return list(zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))
