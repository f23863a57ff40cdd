"""The part of a run's time that is over, for a schedule whose clock is the time."""

from __future__ import annotations

from bpe_lm.training.resume import RunState


class TimeBudget:
    """Tells after how much of `max_time` a step will end, by the measured speed.

    A step that is launched now ends later: a GPU is steps behind the host. So its end is the time of the last read, and
    from there on the least time of a step so far for each step since. The part never falls, and the run's state keeps
    it, so that the learning rate of a run that goes on does not rise.
    """

    def __init__(self, max_time: float, state: RunState, step: int):
        """Begin with the state of a run that has done `step` steps. The state is changed in place."""
        self._max_time, self._state = max_time, state
        self._read_at = step, state.seconds

    def read(self, step: int, seconds: float) -> None:
        """Take the time of the run after a step, at which the host waited for the device."""
        last_step, last_seconds = self._read_at
        pace = (seconds - last_seconds) / max(step - last_step, 1)
        self._state.pace = pace if self._state.pace is None else min(pace, self._state.pace)
        self._read_at = step, seconds

    def over_after(self, step: int) -> float:
        """Return the part of the time that will be over after a step: 0 before the speed is known."""
        last_step, seconds = self._read_at
        expected = seconds + (step - last_step) * (self._state.pace or 0.0)
        self._state.time_over = max(expected / self._max_time, self._state.time_over)
        return self._state.time_over
