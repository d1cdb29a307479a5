"""Stages that hang, take too much memory, or fail: what is ended, what is tried again, what is kept."""

import pytest
from faults import FLOW, Fault
from sites import Site


def test_a_hanging_stage_is_ended_with_all_that_it_started(site: Site) -> None:
    """Also a grandchild in a session of its own that ignores SIGTERM; no second try."""
    site.forget("split")
    site.change({"flow": {"timeout_s": 15}})

    run = site.start(FLOW, Fault("split", "during", "cling", times=9))
    placed = run.reaches()
    ended = run.ends()

    assert ended.said() == "lockstep split: took longer than flow.timeout_s, 15 s"
    assert placed.count() == 1
    site.is_empty()
    site.change({"flow": {"timeout_s": 3600}})
    site.completes(made=["split"])


def test_a_stage_that_holds_too_much_memory_is_ended(site: Site) -> None:
    site.forget("split")
    site.change({"flow": {"memory_mb": 600}})

    run = site.start(FLOW, Fault("split", "during", "eat:700", times=9))
    ended = run.ends()

    ended.said("lockstep split: held ", " MiB of memory; flow.memory_mb allows 600")
    assert run.faults[0].count() <= 1
    site.is_empty()
    site.completes(made=["split"])


def test_an_error_that_may_pass_is_tried_again_until_it_has(site: Site) -> None:
    """Status 75 twice, then a third time that goes well: three attempts, one result."""
    site.forget("split")

    run = site.start(FLOW, Fault("split", "during", "exit:75", times=2))
    ended = run.ends()

    assert ended.status == 0, ended.text
    assert run.faults[0].count() == 2
    assert ended.text.count("Task run 'split' - Task run failed with state: ") == 2
    assert ended.made == ["split"]
    site.is_as_undisturbed()


def test_an_error_that_does_not_pass_is_given_up_after_flow_retries(site: Site) -> None:
    site.forget("split")
    site.change({"flow": {"retries": 1}})

    run = site.start(FLOW, Fault("split", "during", "exit:75", times=9))
    ended = run.ends()

    assert ended.said() == "lockstep split: ends with status 75, attempt 2"
    assert run.faults[0].count() == 2
    site.completes(made=["split"])


def test_a_permanent_error_is_not_tried_again_and_costs_nobody_else(site: Site) -> None:
    """What does not depend on the stage is made and kept; what does is not run."""
    site.forget("tune@linear", "tune@xgboost", "fit")

    run = site.start(FLOW, Fault("tune@linear", "during", "exit:1", times=9))
    ended = run.ends()

    assert ended.said() == "lockstep tune: ends with status 1, attempt 1"
    assert run.faults[0].count() == 1
    assert ended.made == ["tune@xgboost"]
    site.completes(made=["tune@linear", "fit"])


@pytest.mark.parametrize(("number", "attempts"), [(5, 2), (13, 1)], ids=["EIO", "EACCES"])
def test_what_the_system_refuses_is_told_with_the_file(number: int, attempts: int, site: Site) -> None:
    """An error of a device may pass and is tried again; a file that may not be written is not."""
    site.forget("split")

    run = site.start(FLOW, Fault("split", "before", f"errno:{number}"))
    ended = run.ends()

    if attempts == 1:
        ended.said("lockstep split: Permission denied: ", "data/train.parquet", "Mend its owner or its mode")
        site.completes(made=["split"])
    else:
        assert ended.status == 0, ended.text
        assert "lockstep split: Input/output error: " in ended.text
        site.is_as_undisturbed()
