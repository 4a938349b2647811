"""Fuzzes one target for a while, and keeps what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .observation import Observation
from .tally import FoundFault, Tally
from .target import Target, Tester, input_of


class Campaign:
    """Inputs of `target` from number `first` on; those with faults are kept in `folder`."""

    def __init__(self, target: Target, seed: int, first: int, folder: Path) -> None:
        self._target = target
        self._next = first
        self._folder = folder
        self.tally = Tally(target.name, seed)

    def run(self, seconds: float, inputs: int | None, progress: Callable[[Tally], None]) -> Tally:
        """Try as many inputs as `seconds` allow, or exactly `inputs`; what came of them.

        `progress` is called after each batch. What does not stop as it must is a finding as well.
        """
        began = time.monotonic()
        try:
            with self._target.open() as tester:
                while not self._is_over(seconds, inputs):
                    self._try_batch(tester, inputs)
                    self.tally.elapsed = time.monotonic() - began
                    progress(self.tally)
        except AssertionError as error:
            self.tally.ended_badly(str(error))
        return self.tally

    def _try_batch(self, tester: Tester, inputs: int | None) -> None:
        left = self._target.batch if inputs is None else inputs - self.tally.inputs
        numbers = range(self._next, self._next + min(left, self._target.batch))
        batch = [input_of(self._target, self.tally.seed, number) for number in numbers]
        for number, observation in zip(numbers, tester(batch), strict=True):
            self._note(number, batch[number - numbers.start], observation)
        self._next = numbers.stop

    def _is_over(self, seconds: float, inputs: int | None) -> bool:
        if inputs is None:
            return self.tally.elapsed >= seconds
        return self.tally.inputs >= inputs

    def _note(self, number: int, content: bytes, observation: Observation) -> None:
        if not self.tally.add(number, observation):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._target.name}-{self.tally.seed}-{number}"
        path = self._folder / name
        path.write_bytes(content)
        path.with_name(name + ".txt").write_text("\n".join(observation.faults) + "\n")
        self.tally.found_faults.append(FoundFault(number, observation.faults, path))
