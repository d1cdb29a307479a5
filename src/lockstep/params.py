"""Read params.yaml into frozen models; an unknown key or an impossible value is an error.

One block a stage, plus ``problem``, ``source``, ``families`` and ``seed``. The block ``source`` is typed by the
module it names (``lockstep.sources``), so here it is only known to hold a ``kind``.
"""

import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lockstep.errors import LockstepError, ParamsError, expected_one_of

FILE = "params.yaml"

T = TypeVar("T", bound=BaseModel)


class Block(BaseModel):
    """A frozen block of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Validate(Block):
    """What the contract's verdict may let pass."""

    max_quarantine: float = Field(0.05, ge=0, le=1)
    """Largest share of rows that may be set aside before the line stops."""
    max_warnings: int = Field(3, ge=0)
    """Largest number of table rules of severity warning that may fail."""


class Split(Block):
    """How rows are divided into train, test and hold-out; folds are made the same way."""

    kind: Literal["random", "group", "time", "predefined"] = "random"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of rows (of groups, of time) for the test set."""
    folds: int = Field(5, ge=2, le=50)
    holdout: float = Field(0.0, ge=0, lt=1)
    """Share of the most recent rows kept out of everything; needs a time column."""
    column: str | None = None
    """For ``predefined``: the column that says ``train`` or ``test``."""
    duplicates: Literal["group", "keep"] = "group"
    """``group``: rows with equal inputs stand on one side; a split by time, or predefined, is left as it is."""
    accept_leaks: tuple[str, ...] = ()
    """Columns that the user accepts although they give the target away."""

    @model_validator(mode="after")
    def _shares_fit(self) -> "Split":
        if (self.column is not None) != (self.kind == "predefined"):
            raise ValueError("split.column must be given for kind 'predefined', and for no other")
        if self.test + self.holdout >= 1:
            raise ValueError(
                f"split.test + split.holdout must leave rows to train on; got {self.test + self.holdout:g}"
            )
        return self


class Tune(Block):
    """How long and how the search runs, for each family."""

    trials: int = Field(12, ge=1, le=100_000)
    seconds: float | None = Field(None, gt=0)
    """If given, each family searches this long instead; recorded as not repeatable."""
    batch: int = Field(4, ge=1, le=64)
    """Trials asked for at once; part of the study's identity."""


class Cost(Block):
    """What the two mistakes cost, in any unit; a threshold is chosen for the least sum."""

    false_positive: float = Field(gt=0)
    false_negative: float = Field(gt=0)


class Gates(Block):
    """What a predictor must reach to be packaged. Losses are log loss, or squared error for regression."""

    better_than_trivial: bool = True
    linear_margin: float | None = Field(0.02, ge=0)
    """Largest accepted excess over the linear baseline's loss, as a share of that loss; null switches it off."""
    minimum: dict[str, float] = Field(default_factory=dict)
    """Smallest accepted value by metric name (``roc_auc: 0.7``)."""
    maximum: dict[str, float] = Field(default_factory=dict)
    """Largest accepted value by metric name (``rmse: 50000``)."""


class Evaluate(Block):
    """How the winner is judged."""

    cost: Cost | None = None
    """Binary only; without it the threshold is chosen for the best F1."""
    resamples: int = Field(200, ge=50, le=10_000)
    gates: Gates = Gates()


class Package(Block):
    """How a predictor becomes a bento."""

    replay_rows: int = Field(200, ge=1, le=100_000)
    """Test rows sent through the built service; its answers must equal evaluate's to the last bit."""


class Flow(Block):
    """How the flow runs a stage. Changes nothing of what is made, so no stage depends on it."""

    timeout_s: float = Field(14_400, gt=0)
    """Seconds a stage may take before its whole process group is ended."""
    memory_mb: int | None = Field(None, ge=64)
    """Resident memory of a stage and its children, in MiB, beyond which it is ended; null is no limit."""
    retries: int = Field(2, ge=0, le=20)
    """How often a stage is tried again after an error that may pass; never after one that would come again."""
    retry_delay_s: float = Field(5, ge=0)
    """Seconds before it is tried again."""


class Schedule(Block):
    """When a flow starts by itself while `lockstep up` runs."""

    cron: str
    """Minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"

    @field_validator("cron")
    @classmethod
    def _has_five_fields(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f"must have five fields, minute to day of week, as '0 6 * * 1'; got {cron!r}")
        return cron


class Params(Block):
    """The whole of params.yaml."""

    problem: str
    seed: int = Field(7, ge=0, lt=2**31)
    source: dict[str, Any]
    families: tuple[str, ...] = Field(min_length=1)
    validate_: Validate = Field(Validate(), alias="validate")
    split: Split = Split()
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    package: Package = Package()
    flow: Flow = Flow()
    schedules: dict[str, Schedule] = Field(default_factory=dict)
    """By the name of a deployment, such as ``train``."""

    @field_validator("source")
    @classmethod
    def _source_has_kind(cls, source: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(source.get("kind"), str):
            raise ValueError("source.kind must name a source, such as 'file'")
        refuse_passwords(source)
        return source

    @field_validator("families")
    @classmethod
    def _families_differ(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(families)) < len(families):
            raise ValueError("families must name each family once")
        return families


def load(root: Path) -> Params:
    """Read and check ``params.yaml`` of the project at ``root``.

    Raises
    ------
    ParamsError
        The file is missing, is not YAML, holds an unknown key or a value out of range.
    """
    path = root / FILE
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{FILE} is missing from {root}; a project has one at its top.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = _without_passwords(" ".join(str(error).split()))[:200]
        raise ParamsError(f"{FILE} must be YAML; {said}.") from None  # the cause quotes the file
    if not isinstance(values, dict):
        raise ParamsError(f"{FILE} must hold keys and values; found {type(values).__name__}.")
    return parse(Params, values)


def parse(
    model: type[T], values: Any, where: str = "", file: str = FILE, raises: type[LockstepError] = ParamsError
) -> T:
    """Build ``model`` from ``values``; the first fault becomes one line that names the key.

    Raises
    ------
    ParamsError
        (or ``raises``) With the key's full path, what must hold, and what was found.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise raises(_without_passwords(f"{file}: {_sentence(model, error, where)}")) from None


def refuse_passwords(values: Any) -> None:
    """Refuse a URL that carries a password; it would land in ``dvc.lock`` and in git.

    Raises
    ------
    ValueError
        Without repeating the URL.
    """
    for value in _texts(values):
        if value != _without_passwords(value):
            raise ValueError(
                "source holds a URL with a password, which would be written to dvc.lock; "
                "put it into an environment variable and name that instead"
            )


def _without_passwords(text: str) -> str:
    """Return ``text`` with the passwords of its URLs hidden; digits and a slash after the colon are a port."""
    return re.sub(r"(\w://[^/\s:@]*:)(?!\d+/)[^\s@]+@", r"\1...@", text)


def _texts(values: Any) -> list[str]:
    if isinstance(values, dict):
        return [text for value in values.values() for text in _texts(value)]
    if isinstance(values, list | tuple):
        return [text for value in values for text in _texts(value)]
    return [values] if isinstance(values, str) else []


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    faults = error.errors(include_url=False)
    # A misspelt key is two faults, an unknown one and a missing one; the first can offer the near match.
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ".".join([*([where] if where else []), *map(str, fault["loc"])])
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            known = _known_keys(model, tuple(fault["loc"][:-1]))
            return f"unknown key {place!r}; {expected_one_of(str(fault['loc'][-1]), known)}"
        case "missing":
            return f"{place} is missing and must be given."
        case "invalid_key":
            return f"{place} must be a name, as every key; put it into quotes if it is one."
        case "model_type" | "dict_type":
            return f"{place} must hold keys and values; got {fault['input']!r}."
        case "tuple_type":
            return f"{place} must be a list; got {fault['input']!r}."
        case "string_too_short" | "string_too_long":
            return f"{place} must {fault['msg'].removeprefix('String should ')}; got {fault['input']!r}."
        case "too_short":
            return f"{place} must have at least {context['min_length']} item; got {fault['input']!r}."
        case "value_error":
            said = f"{context['error']}."
            return said if said.startswith(place.split(".")[0]) else f"{place}: {said}"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            return f"{place} must be {_bound(fault['type'], context)}; got {fault['input']!r}."
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            return f"no {place} {fault['input']!r}; {expected_one_of(fault['input'], known)}"
        case _:
            rule = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            return f"{place} must be {rule}; got {fault['input']!r}."


def _bound(kind: str, context: dict[str, Any]) -> str:
    words = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("greater than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    word, key = words[kind]
    return f"{word} {context[key]:.15g}"


def _known_keys(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    within_container = False
    for part in path:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        if field is None or within_container:  # a key of a dictionary, or a position in a list, of models
            within_container = False
            continue
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
        within_container = getattr(field.annotation, "__origin__", None) in (dict, tuple, list)
    return [field.alias or name for name, field in model.model_fields.items()]
