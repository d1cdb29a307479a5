from lockstep.proof import Link, Proof, alike


def proof(identity: str, bento: str, model: str, *, ok: bool = True) -> Proof:
    return Proof(identity, [Link("prediction", ok)], {"bento": bento, "model": model})


def test_chains_are_put_together_where_all_that_is_asked_for_is_the_same_and_they_hold() -> None:
    proofs = [
        proof("a", "churn:1", "m1"),
        proof("b", "churn:1", "edited"),
        proof("c", "churn:1", "m1"),
        proof("d", "churn:1", "m1", ok=False),
        proof("e", "churn:2", "m1"),
    ]
    groups = [[one.identity for one in group] for group in alike(proofs, "bento", "model")]
    assert groups == [["a", "c"], ["b"], ["e"]]
    assert [[one.identity for one in group] for group in alike(proofs, "model")] == [["a", "c", "e"], ["b"]]
