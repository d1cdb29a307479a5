"""Prove recorded predictions: make their predictor again from what is recorded, and have it answer again."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import orjson

from lockstep import contract as contracts
from lockstep import graph, origin, provenance, recorded, rerun, signals, worktree
from lockstep.errors import IntegrityError, ParamsError
from lockstep.proof import Broken, Proof, Say, alike, follow
from lockstep.service import released

ANSWER = ("prediction", "probabilities")


def replay(root: Path, identities: Sequence[str], row: Path | None, say: Say) -> list[Proof]:
    """Follow the chain of each prediction to its end; predictions of one predictor share one run of the line.

    ``row`` is a file with the row that was asked, for a prediction with private columns. ``say`` receives a line for
    each link that holds.
    """
    if row and len(identities) > 1:
        raise ParamsError(f"--row {row} is the row of one prediction; got {len(identities)} ids.")
    given = recorded.read_row(row) if row else None
    proofs = [Proof(identity) for identity in dict.fromkeys(identities)]
    for proof in proofs:
        with suppress(Broken):
            _look_up(root, proof, say)
    folders = dict[str, Path]()
    for group in alike(proofs, "bento", "model"):
        with suppress(Broken):
            folders[group[0].asked["model"]] = _find_release(root, group, given, say)
    for group in alike(proofs, "model"):
        with suppress(Broken), signals.interrupt():
            _make_again(root, group, folders[group[0].asked["model"]], say)
    return proofs


def _look_up(root: Path, proof: Proof, say: Say) -> None:
    with follow("prediction", [proof], say) as link:
        proof.asked = asked = provenance.asked(root, proof.identity)
        kept = {name: asked[name] for name in ("time", "bento", "model", "inputs", *ANSWER) if name in asked}
        link.holds(f"{proof.identity}, {asked['time']}, by {asked['bento']}", **kept)


def _find_release(root: Path, proofs: Sequence[Proof], given: Mapping[str, Any] | None, say: Say) -> Path:
    """Verify the release that answered, then what was asked of it; return its folder."""
    with follow("release", proofs, say) as link:
        found = provenance.release(root, proofs[0].asked)
        identity = found.identity
        link.holds(f"{identity.tag}, every byte as packaged; predictor {identity.predictor}", **vars(identity))
    contract = contracts.loads((found.folder / released.CONTRACT).read_bytes())
    for proof in proofs:
        with suppress(Broken), follow("inputs", [proof], say) as link:
            proof.row = recorded.row(recorded.folder(root), proof.asked, contract, given)
            link.holds("private values are those of the row that was given" if given else "")
    return found.folder


def _make_again(root: Path, proofs: Sequence[Proof], release: Path, say: Say) -> None:
    """Run the line that made a predictor once more, and have it answer again what was asked of it."""
    model = proofs[0].asked["model"]
    with ExitStack() as stack:
        with follow("commit", proofs, say) as link:
            made = origin.find(root, graph.digest(release / released.PREDICTOR))
            patch = made.patch.stem if made.patch else None
            changed = f" with the ledger's patch {patch}" if patch else ""
            link.holds(f"{made.commit}{changed}; {made.recorder} holds the digests", commit=made.commit, patch=patch)
        with follow("checkout", proofs, say) as link:
            tree = stack.enter_context(worktree.at(root, made.commit, made.patch))
            rerun.check_sources(tree, made)
            link.holds("a clean worktree")
        with follow("packages", proofs, say) as link:
            n_packages = rerun.check_packages(tree, made)
            link.holds(f"the {n_packages} of requirements.lock", packages=n_packages)
        with follow("data", proofs, say) as link:
            said, md5 = rerun.bring_raw(root, tree, made)
            link.holds(said, md5=md5)
        differing = list[str]()
        for stage in rerun.stages(tree):
            with follow(stage.name, proofs, say) as link:
                seconds = rerun.run_stage(tree, stage)
                other = list(rerun.differences(tree, stage, made))
                differing += other
                link.holds(f"{seconds:.1f} s; {'; '.join(other) or 'as recorded'}", seconds=seconds, differs=other)
        with follow("predictor", proofs, say) as link:
            link.found = {"recorded": model, "differs": differing}
            rerun.check_predictor(tree, model, differing, made)
            link.holds(f"{model}, made again", digest=model)
        _compare(proofs, tree, say)


def _compare(proofs: Sequence[Proof], tree: Path, say: Say) -> None:
    with follow("answers", proofs, say) as link:
        answers = rerun.answers(tree, [proof.row for proof in proofs])
        link.holds("")
    for proof, again in zip(proofs, answers, strict=True):
        with suppress(Broken), follow("answer", [proof], say) as link:
            before = {name: proof.asked[name] for name in ANSWER if name in proof.asked}
            link.found = {"recorded": before, "now": again}
            if "fault" in again:
                raise IntegrityError(f"{_told(before)} is recorded; the same row is refused now: {again['fault']}.")
            if _bits(again["answer"]) != _bits(before):
                raise IntegrityError(f"{_told(before)} is recorded; now it is {_told(again['answer'])}.")
            link.holds("", **before)


def _bits(answer: Mapping[str, Any]) -> bytes:
    """Return JSON that is equal where every number is, to the last bit: it holds what reads back to the same."""
    return orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)


def _told(answer: Mapping[str, Any]) -> str:
    return orjson.dumps(answer).decode()
