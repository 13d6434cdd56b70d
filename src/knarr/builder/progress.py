"""What a build tells while it runs, as values; nodeapi/ sends them as JSON lines, the CLI draws them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from knarr.base.errors import Invalid


@dataclass(frozen=True, slots=True)
class StepStarted:
    """`number` is unique in the build; `title` names stage, place and instruction."""

    number: int
    title: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    number: int
    outcome: Literal["cached", "done", "failed"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Output:
    """What a RUN wrote; `stream` is 1 or 2."""

    number: int
    stream: int
    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    text: str


Event = StepStarted | StepEnded | Output | Warned
Report = Callable[[Event], None]


class StepFailed(Invalid):
    """A command of the Dockerfile ended with another code than 0; the message says where, what and its last output."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
