import re
import time

from lockstep.service.metrics import Metrics


def read(metrics: Metrics, n_unwritten: int = 0) -> dict[str, float]:
    lines = metrics.text(n_unwritten).decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_requests_and_their_latencies_are_counted_by_path_and_status() -> None:
    metrics = Metrics("d1", "churn:1", time.time())
    for seconds in (0.0004, 0.0015, 0.3):
        metrics.answered("/predict", 200, seconds)
    metrics.answered("/predict", 422, 0.001)
    found = read(metrics)
    assert found['lockstep_requests_total{path="/predict",status="200"}'] == 3
    assert found['lockstep_requests_total{path="/predict",status="422"}'] == 1
    assert found['lockstep_request_seconds_bucket{le="0.002",path="/predict"}'] == 3
    assert found['lockstep_request_seconds_count{path="/predict"}'] == 4


def test_refusals_warnings_and_what_could_not_be_recorded_are_counted() -> None:
    metrics = Metrics("d1", "churn:1", time.time())
    metrics.refused([("low", "be_between"), ("low", "be_between"), ("(unknown)", "unknown field")])
    metrics.warned([("town", "be_in_set(value_set=['a\\nb'])")])
    found = read(metrics, 7)
    assert found['lockstep_rejections_total{field="low",rule="be_between"}'] == 2
    assert found['lockstep_rejections_total{field="(unknown)",rule="unknown field"}'] == 1
    assert sum(value for name, value in found.items() if re.match(r'lockstep_warnings_total\{field="town"', name)) == 1
    assert found["lockstep_unwritten_predictions"] == 7


def test_predictions_are_counted_by_class_or_by_decile() -> None:
    classes = Metrics("d1", "churn:1", time.time())
    classes.predicted(["yes", "no", "yes"])
    assert counts(classes) == {"yes": 2, "no": 1}
    numbers = Metrics("d1", "churn:1", time.time(), [float(n) for n in range(1, 10)])
    numbers.predicted([-5.0, 1.0, 1.5, 99.0])
    assert counts(numbers) == {"1 of 10": 1, "2 of 10": 2, "10 of 10": 1}


def counts(metrics: Metrics) -> dict[str, float]:
    return {name.split('"')[1]: value for name, value in read(metrics).items() if "_predictions_total" in name}


def test_the_model_is_named_with_its_age() -> None:
    found = read(Metrics("d1", "churn:1", time.time() - 3600))
    assert found['lockstep_model_info{bento="churn:1",model="d1"}'] == 1
    assert 3600 <= found["lockstep_model_age_seconds"] < 3660
