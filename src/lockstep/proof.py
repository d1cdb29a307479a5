"""A prediction, and the links of the chain from its answer back to its making."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from lockstep.errors import LockstepError

Say = Callable[[str], None]


@dataclass
class Link:
    """One step of a chain."""

    link: str
    ok: bool = False
    said: str = ""
    found: dict[str, Any] = field(default_factory=dict)

    def holds(self, said: str, **found: Any) -> None:
        """Take note of what was found; a link that says nothing is followed in silence."""
        self.ok, self.said, self.found = True, said, found


class Broken(Exception):
    """Leave a chain where it is broken."""


@dataclass
class Proof:
    """A prediction and its links, up to the first that is broken."""

    identity: str
    links: list[Link] = field(default_factory=list)
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What was recorded."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """What was asked, private values among it."""

    @property
    def holds(self) -> bool:
        """Whether every link so far does."""
        return all(link.ok for link in self.links)

    def as_json(self) -> dict[str, Any]:
        """Return the chain."""
        return {"id": self.identity, "proven": self.holds, "links": [asdict(link) for link in self.links]}

    def __str__(self) -> str:
        """Return the end of the chain, or where it is broken, as a line."""
        if self.holds:
            return f"{self.identity}: the same to the last bit"
        return f"{self.identity}: not proven; {self.links[-1].link}: {self.links[-1].said}"


@contextmanager
def follow(name: str, proofs: Sequence[Proof], say: Say) -> Iterator[Link]:
    """Follow one more link of each of these chains; an error of ours breaks it.

    Raises
    ------
    Broken
        Once the error stands in the link.
    """
    link = Link(name)
    for proof in proofs:
        proof.links.append(link)
    try:
        yield link
    except LockstepError as error:
        link.ok, link.said = False, str(error)
        raise Broken from error
    if link.said:
        say(f"{name:20}{link.said}")


def alike(proofs: Sequence[Proof], *keys: str) -> list[list[Proof]]:
    """Return the chains that hold so far, those of which the same was recorded together."""
    whole = [proof for proof in proofs if proof.holds]
    values = [tuple(proof.asked[key] for key in keys) for proof in whole]
    return [
        [proof for proof, each in zip(whole, values, strict=True) if each == value] for value in dict.fromkeys(values)
    ]
