"""The structured parameters of tune_model: what is searched, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, RootModel, field_validator, model_validator

from headway.components._shared.config import Config, readable
from headway.components._shared.estimators.trials import CrossValidation
from headway.components._shared.times import parse_duration

Duration = Annotated[str, AfterValidator(lambda text: readable(parse_duration, text))]
Values = tuple[bool | int | float | str | None, ...]


class Parameter(Config):
    """The values that one parameter of the estimator may take.

    Attributes:
        type: `double`, `int` or `categorical`.
        min: Smallest value, inclusive; for double and int.
        max: Largest value, inclusive; for double and int.
        log: Search on a logarithmic scale; needs a positive `min`.
        step: Distance between the values of an int or double; not together with `log`.
        list: The values of a categorical parameter.
    """

    type: Literal["double", "int", "categorical"]
    min: float | None = None
    max: float | None = None
    log: bool = False
    step: float | None = Field(default=None, gt=0)
    list: Values | None = None

    @field_validator("list")
    @classmethod
    def _counts(cls, given: Values | None) -> Values | None:
        """KFP brings whole numbers in a list as floats; next to a fraction they are floats."""
        numbers = [value for value in given or () if isinstance(value, int | float) and not isinstance(value, bool)]
        if given is None or not all(float(number).is_integer() for number in numbers):
            return given
        return tuple(int(value) if isinstance(value, float) else value for value in given)

    @model_validator(mode="after")
    def _makes_sense(self) -> Parameter:
        if self.type == "categorical":
            self._makes_sense_as_list()
        else:
            self._makes_sense_as_range()
        return self

    def _makes_sense_as_list(self) -> None:
        if (self.min, self.max, self.step) != (None, None, None) or self.log:
            raise ValueError("a categorical parameter has a list, and no min, max, log or step")
        if not self.list:
            raise ValueError("list is empty; name at least one value")
        if len({repr(value) for value in self.list}) < len(self.list):
            raise ValueError("list names a value twice")

    def _makes_sense_as_range(self) -> None:
        if self.list is not None:
            raise ValueError(f"a parameter of type {self.type} has min and max, and no list")
        if self.min is None or self.max is None:
            raise ValueError(f"a parameter of type {self.type} needs min and max")
        if not (abs(self.min) < float("inf") and abs(self.max) < float("inf")):
            raise ValueError("min and max must be finite")
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is over max {self.max:g}")
        if self.log and self.min <= 0:
            raise ValueError(f"log needs a min over 0, not {self.min:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        whole = [value for value in (self.min, self.max, self.step) if value is not None]
        if self.type == "int" and not all(value.is_integer() for value in whole):
            raise ValueError("min, max and step of an int must be whole numbers")


class SearchSpace(RootModel[dict[str, Parameter]]):
    """Parameter of the estimator to the values that it may take; empty means that only the baseline is judged."""

    @field_validator("root")
    @classmethod
    def _in_order(cls, space: dict[str, Parameter]) -> dict[str, Parameter]:
        """By name, since the sampler draws in this order and KFP passes a mapping in any."""
        return dict(sorted(space.items()))


class SecretKey(Config):
    """One value of a Secret in the step's namespace.

    Attributes:
        secret: Name of the Secret.
        key: Which of its values.
    """

    secret: str
    key: str


class Mount(Config):
    """A volume of a trial's pod; name one of `claim`, `config_map` and `secret`.

    Attributes:
        path: Where it is mounted.
        claim: PersistentVolumeClaim; several pods must be able to mount it at the same time.
        config_map: ConfigMap, read-only.
        secret: Secret, read-only.
    """

    path: str = Field(pattern="^/.+")
    claim: str | None = None
    config_map: str | None = None
    secret: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Mount:
        if len([name for name in (self.claim, self.config_map, self.secret) if name]) != 1:
            raise ValueError("name one of claim, config_map and secret")
        return self


class Pods(Config):
    """The pods of trials where these run in pods of their own. What is left out is as in the step's own pod.

    Attributes:
        image: Image of the trials; it must hold the step's code.
        cpu: Request of each.
        memory: Request and limit of each.
        service_account: Whose rights they have.
        environment: Variables, laid over the step's.
        secrets: Variables that come from a Secret, such as `{"AWS_SECRET_ACCESS_KEY": {"secret": "s3", "key": "key"}}`.
        volumes: Volumes beside the step's claims, ConfigMaps and Secrets.
        image_pull_secrets: Secrets for the image's registry.
        node_selector: Labels that a node must have, such as those of spot nodes.
        tolerations: Taints that are tolerated, as Kubernetes writes them.
        patience: How long a pod may wait for an image, a node or a volume, and the search for a sign of life.
    """

    image: str | None = None
    cpu: str = "1"
    memory: str = "2Gi"
    service_account: str | None = None
    environment: dict[str, str] = {}
    secrets: dict[str, SecretKey] = {}
    volumes: tuple[Mount, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    patience: Duration = "5m"


class Study(Config):
    """How the search is done.

    Attributes:
        trials: Number of trials, the baseline included.
        parallel: Trials at the same time; trial n learns from the trials up to n - `parallel`, so another number
            gives another course (not with `sampler` `random` and `early_stopping` `none`).
        timeout: Time for the whole search, such as `30m`; the best of what is finished by then is taken.
        trial_timeout: Time for one trial; a longer one has failed.
        objective: Name of a scikit-learn scorer or a usual alias (`roc_auc`, `log_loss`, `rmse`); by default
            `roc_auc`, `log_loss` or `rmse` by task. The direction follows from it.
        cv: How the training data is divided to judge a trial.
        rows: At most so many rows, evenly spaced in time, to keep a search short; the final fit uses all.
        class_weight: As in train_model.
        early_stopping: `median` ends a trial that after some folds is worse than the median of the others there.
        goal: Stop as soon as a trial reaches this value of the objective.
        max_failed_share: Give up when more than this share of the trials has failed.
        sampler: `tpe` learns from the trials before; `random` does not. With engine katib also `cmaes` and `sobol`.
        confidence: Of the gain's interval.
        resume: Adopt the finished trials of an earlier try of the same search in the same run.
        pods: The trials' pods, with engine katib.
    """

    trials: int = Field(default=16, ge=1, le=1000)
    parallel: int = Field(default=2, ge=1, le=64)
    timeout: Duration | None = None
    trial_timeout: Duration = "1h"
    objective: str | None = None
    cv: CrossValidation = CrossValidation()
    rows: int | None = Field(default=None, ge=2)
    class_weight: dict[str, Any] = {}
    early_stopping: Literal["median", "none"] = "median"
    goal: float | None = None
    max_failed_share: float = Field(default=0.5, ge=0, le=1)
    sampler: Literal["tpe", "random", "cmaes", "sobol"] = "tpe"
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resume: bool = True
    pods: Pods = Pods()
