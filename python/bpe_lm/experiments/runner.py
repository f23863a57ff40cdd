"""Run works, each in a process of its own, and go on where an earlier runner stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from bpe_lm.errors import BpeLmError, OutputExists
from bpe_lm.experiments.attempts import (
    LOGS,
    Attempt,
    is_locked,
    last_words,
    log_path,
    open_log,
    read_attempt,
    start,
    write_attempt,
)
from bpe_lm.experiments.identities import Identity, differences, identity_of, reasons
from bpe_lm.experiments.places import on_devices, places
from bpe_lm.experiments.planning import known_identity, read_result, standing, write_config
from bpe_lm.experiments.results_table import write_results
from bpe_lm.experiments.runs import DONE, has_run, last_record
from bpe_lm.experiments.runs import LOCK as RUN_LOCK
from bpe_lm.experiments.study import check_names, read_study, record_works
from bpe_lm.experiments.work import RESULT, Job, Training, Work
from bpe_lm.files import check_folder_target, finite, held, write_whole
from bpe_lm.machine import commit, describe_machine
from bpe_lm.progress import Display
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.signals import received_signals

LOCK = ".runner.lock"

_POLL = 0.1
"""Seconds between two looks at the processes."""

_YOUNG = 0.5
"""Seconds in which a process imports what it needs, and computes nothing."""

_RESULTS_SHARE = 0.02
"""The part of the time that may be spent on writing results.tsv, before the last time: all runs are read for it."""

Say = Callable[[str], object]
"""A function that is called with a sentence for the user."""


@dataclass(frozen=True)
class Outcome:
    """What became of a work.

    `state` is that of `RunRecord`; for a job it is "finished", "failed" or "signal". A work that was not started,
    because a signal came first, is "waiting". `was_done` says that its result existed already. `message` says why it
    failed.
    """

    name: str
    state: str
    was_done: bool = False
    message: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the work has a result. A run that diverged has one."""
        return self.state in DONE


@dataclass(frozen=True)
class Report:
    """What became of all works, in their order. `signal` is the signal that stopped the runner, or None."""

    outcomes: Sequence[Outcome] = field(default_factory=tuple)
    signal: signal.Signals | None = None

    @property
    def done(self) -> list[Outcome]:
        """The works that have a result, old or new."""
        return [outcome for outcome in self.outcomes if outcome.is_done]

    @property
    def failed(self) -> list[Outcome]:
        """The works whose process ended with an error. They are tried again by the next call."""
        return [outcome for outcome in self.outcomes if outcome.state == "failed"]


def run_all(
    works: Sequence[Work],
    folder: Path,
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    keep_old_code: bool = False,
    progress: bool = False,
    say: Say = lambda line: None,
    base: TrainConfig | None = None,
) -> Report:
    """Run the works that are not done, each in a process of its own, `jobs` at a time.

    A work is done if the result.json of its folder has the identity of the work. A run that was killed goes on from
    its checkpoint. A folder of another identity is renamed to NAME.old-N first, and never deleted. A work that fails
    does not stop the others.

    SIGINT and SIGTERM interrupt all processes, and the call returns when they have saved their checkpoints; then
    `Report.signal` is set, and a caller that has more works should stop too. A second signal kills the processes. They
    end by themselves if the runner is killed.

    Args:
        works: Runs and jobs. No name may be a folder of another name. A work that reads what another writes belongs
            into a later call.
        folder: The folder of the study: a work's folder is `folder / work.name`.
        jobs: Processes at a time. On a CPU each has its share of the threads.
        devices: GPUs, such as "cuda:0"; each process has one of them for itself, so there are at most as many.
        keep_old_code: Accept results of other sources of this package.
        progress: Show progress on stderr.
        say: Called with a sentence for the user when a work ends, or is begun anew.
        base: The config from which the runs' changes count, for study.json. None leaves there what there is; another
            base takes the runs out of study.json that are not in `works`.

    Raises:
        ConfigError: Two works have the same name, or a name is not safe as a path.
        OutputBusy: Another runner works in the folder.
        OutputExists: The folder is a run itself.
        FileError: The folder cannot be written.
        KeyboardInterrupt: A second signal was received.
    """
    check_names(works)
    works = on_devices(works, devices)
    with _locked(folder):
        _record(works, folder, base, say)
        with received_signals() as received, Display(is_wanted=progress, width=62, is_first_line_due=True) as display:
            return _Runner(works, folder, places(jobs, devices), keep_old_code, display, say).run(received)


def check_is_ours(folder: Path, mark: str, *, also: Sequence[str] = ()) -> None:
    """Refuse a folder that has something, and not the file `mark`.

    Args:
        folder: The folder, which need not exist.
        mark: The file that says that the folder is one of studies, or of reproductions.
        also: Names that such a folder may have before it has the mark.

    Raises:
        OutputExists: The folder has something else.
    """
    if not folder.is_dir() or (folder / mark).exists():
        return
    others = sorted(path.name for path in folder.iterdir() if path.name not in (LOCK, *also))
    if others:
        raise OutputExists(f"{folder} has {others[0]} and no {mark}; name a new folder, or an empty one")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other runners from working in the folder of a study."""
    check_folder_target(folder)
    if has_run(folder):
        raise OutputExists(f"{folder} is a run itself, and no study is put into it; name another folder")
    with held(folder, LOCK, "folder"):
        yield


def _record(works: Sequence[Work], folder: Path, base: TrainConfig | None, say: Say) -> None:
    """Write works into study.json, and say how many runs of another base config are not in it any more."""
    old, new = read_study(folder), record_works(folder, works, base=base)
    gone = len(old.runs.keys() - new.runs.keys()) if old is not None else 0
    if gone:
        runs = f"{gone:,} run{'s' * (gone != 1)}"
        say(f"not listed any more: {runs} of another base config, whose folders stay in {folder}")


@dataclass
class _Running:
    """A process that computes a work."""

    work: Work
    process: subprocess.Popen[bytes]
    attempt: Attempt
    stdout: IO[bytes] | None = None
    shown_step: int = -1


class _Runner:
    """The works that wait, those that run, and what became of the others."""

    def __init__(
        self,
        works: Sequence[Work],
        folder: Path,
        places: Sequence[Mapping[str, str]],
        keep_old_code: bool,
        display: Display,
        say: Say,
    ):
        self._works, self._folder, self._places, self._display, self._say = works, folder, places, display, say
        self._keep_old_code = keep_old_code
        self._outcomes: dict[str, Outcome] = {}
        self._waiting: list[Work] = []
        self._running: dict[int, _Running] = {}
        self._busy: set[str] = set()
        self._is_interrupted = False
        self._shown_at, self._results_due = -_POLL, 0.0

    def run(self, received: Sequence[int]) -> Report:
        """Run all works."""
        self._waiting = [work for work in self._works if not self._is_done(work)]
        try:
            self._write_results()
            self._show_all()
            while self._waiting or self._running:
                if received and not self._is_interrupted:
                    self._interrupt(signal.Signals(received[0]))
                self._end_ended()
                self._start_waiting()
                self._show_running()
                if self._waiting or self._running:
                    time.sleep(_POLL)
        except BaseException:
            self._kill()
            raise
        finally:
            self._write_results(is_last=True)
        outcomes = [self._outcomes.get(work.name, Outcome(work.name, "waiting")) for work in self._works]
        return Report(outcomes, signal.Signals(received[0]) if self._is_interrupted else None)

    def _is_done(self, work: Work) -> bool:
        """Return whether a work has a result of its identity."""
        if standing(work, self._folder, keep_old_code=self._keep_old_code) != "done":
            return False
        result = read_result(self._folder / work.name) or {}
        state = "finished" if isinstance(work, Job) else str(result["reason"])
        self._outcomes[work.name] = Outcome(work.name, state, was_done=True)
        return True

    def _start_waiting(self) -> None:
        """Start works where there is place. A work whose old process has not ended yet is passed over."""
        for number, environment in enumerate(self._places):
            if number in self._running:
                continue
            for work in list(self._waiting):
                log = self._log_of(work)
                if log is None:
                    continue
                with log:
                    self._waiting.remove(work)
                    running = self._begin(work, environment, log)
                if running is not None:
                    self._running[number] = running
                    self._show(number, work, None)
                    break

    def _log_of(self, work: Work) -> IO[bytes] | None:
        """Open and lock the log of a work, or return None while another process works on it."""
        is_busy = is_locked(self._folder / work.name / RUN_LOCK)
        log = None if is_busy else open_log(self._folder, work.name)
        if log is None and work.name not in self._busy:
            self._busy.add(work.name)
            self._say(f"{work.name}: waiting for a process that still works on it")
        return log

    def _begin(self, work: Work, environment: Mapping[str, str], log: IO[bytes]) -> _Running | None:
        """Start the process of a work. Returns None if there is something wrong with the work."""
        try:
            identity = identity_of(work, self._folder)
            self._set_aside_if_other(work, identity)
            attempt = Attempt(self._identity_of_first_steps(work) or identity, time.time())
            write_attempt(self._folder, work.name, attempt)
            module, arguments = self._command(work)
            if isinstance(work, Job):
                # A kill leaves a part of its outputs, with which an older result would count as done.
                (self._folder / work.name / RESULT).unlink(missing_ok=True)
            stdout = self._stdout_path(work).open("w+b") if isinstance(work, Job) else None
            process = start(module, arguments, log, stdout, environment)
        except (BpeLmError, OSError) as error:
            # What is in the folder keeps its identity.
            old = read_attempt(self._folder, work.name) or Attempt()
            self._end(work, replace(old, started=time.time()), "failed", str(error))
            return None
        return _Running(work, process, attempt, stdout)

    def _identity_of_first_steps(self, work: Work) -> Identity | None:
        """Return the identity with which a run began that goes on, perhaps by other code now, or None."""
        goes_on = isinstance(work, Training) and has_run(self._folder / work.name)
        return known_identity(self._folder, work.name) if goes_on else None

    def _set_aside_if_other(self, work: Work, identity: Identity) -> None:
        """Rename the folder of a work if what is in it has another identity."""
        old = self._folder / work.name
        known = known_identity(self._folder, work.name)
        different = differences(known, identity, keep_old_code=self._keep_old_code)
        if not has_run(old) or not different:
            return
        aside = next(path for n in range(1, 10**6) if not (path := old.with_name(f"{old.name}.old-{n}")).exists())
        old.rename(aside)
        why = "its identity is unknown" if known is None else reasons(different)
        hint = "; --keep-old-code would have accepted it" if different == ["sources"] else ""
        self._say(f"{work.name}: begun anew, because {why}; the old folder is now {aside.name}{hint}")

    def _command(self, work: Work) -> tuple[str, Sequence[str]]:
        if isinstance(work, Job):
            return work.module, work.arguments
        path = write_config(self._folder, work.name, work.config)
        out = str(self._folder / work.name)
        return "bpe_lm", ("pretrain", str(path), "--out", out, "--resume", "--json", "--quiet")

    def _stdout_path(self, work: Work) -> Path:
        return self._folder / LOGS / f"{work.name}.stdout"

    def _end_ended(self) -> None:
        for number, running in list(self._running.items()):
            if running.process.poll() is not None:
                del self._running[number]
                self._end_of_process(running)

    def _end_of_process(self, running: _Running) -> None:
        work, code = running.work, running.process.returncode
        state, message = "", ""
        if isinstance(work, Job):
            assert running.stdout is not None
            with running.stdout as stdout:
                stdout.seek(0)
                found = printed_object(stdout.read())
            if code == 0 and found is not None:
                self._write_job_result(running, found)
                state = "finished"
            elif code == 0:
                message = f"it printed no JSON object; see {self._stdout_path(work)}"
        else:
            reason = str((read_result(self._folder / work.name) or {}).get("reason"))
            state = reason if reason in DONE else ""
        if not state and (self._is_interrupted or code in (130, 143)):
            state = "signal"
        if not state:
            state, message = "failed", message or _why(code, log_path(self._folder, work.name))
        self._end(work, running.attempt, state, message)

    def _write_job_result(self, running: _Running, found: Mapping[str, Any]) -> None:
        attempt, now = running.attempt, time.time()
        content = {
            "result": found,
            "identity": attempt.identity,
            "seconds": now - attempt.started,
            "machine": describe_machine(),
            "commit": commit(),
            "time": now,
        }
        path = self._folder / running.work.name / RESULT
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(finite(content), indent=2, allow_nan=False) + "\n").encode())

    def _end(self, work: Work, attempt: Attempt, state: str, message: str) -> None:
        self._outcomes[work.name] = Outcome(work.name, state, message=message)
        write_attempt(self._folder, work.name, replace(attempt, ended=time.time(), state=state, message=message))
        self._say(f"{work.name}: {self._in_words(work, state, message)}")
        self._write_results()
        self._show_all()

    def _in_words(self, work: Work, state: str, message: str) -> str:
        if state == "failed":
            return f"failed: {message}"
        if state == "signal":
            return "stopped"
        result = read_result(self._folder / work.name) or {}
        if isinstance(work, Job):
            return f"measured, {result.get('seconds', 0):.1f} s"
        loss = result.get("loss") if state != "diverged" else None
        loss_words = "" if loss is None else f", validation loss {loss:.4f}"
        return f"{state} at step {result.get('step', 0):,}{loss_words}, {result.get('seconds', 0):.1f} s"

    def _interrupt(self, received: signal.Signals) -> None:
        """Begin no more works, and let the processes save their checkpoints."""
        self._is_interrupted = True
        self._waiting.clear()
        if self._running:
            self._say(f"{received.name}: waiting for the checkpoints of {len(self._running)}; once more kills them")
        for running in self._running.values():
            with suppress(ProcessLookupError):
                # A process that has just been started may not hear SIGINT yet, and has nothing to save.
                if time.time() - running.attempt.started < _YOUNG:
                    os.killpg(running.process.pid, signal.SIGKILL)
                else:
                    running.process.send_signal(signal.SIGINT)

    def _kill(self) -> None:
        """Kill the processes, with those that they have started."""
        for running in self._running.values():
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
        for running in self._running.values():
            running.process.wait()
            if running.stdout is not None:
                running.stdout.close()

    # Progress

    def _show_all(self) -> None:
        total, ended = len(self._works), self._outcomes.values()
        done, failed = sum(one.is_done for one in ended), sum(one.state == "failed" for one in ended)
        line = f"{done} of {total} done" + (f", {failed} failed" if failed else "")
        self._display.update("all", len(ended), total, line)

    def _show_running(self) -> None:
        """Show the last record of each run. All lines together change at most ten times a second."""
        now = time.monotonic()
        if now - self._shown_at < _POLL * len(self._running):
            return
        self._shown_at = now
        for number, running in self._running.items():
            record = None if isinstance(running.work, Job) else last_record(self._folder / running.work.name)
            if record is not None and record["step"] != running.shown_step:
                running.shown_step = record["step"]
                self._show(number, running.work, record)

    def _show(self, number: int, work: Work, record: Mapping[str, Any] | None) -> None:
        """Show the line of a process."""
        stage = f"process {number + 1}"
        if isinstance(work, Job):
            self._display.update(stage, 0, None, f"{work.name}: measuring")
            return
        steps = work.config.steps
        if record is None:
            self._display.update(stage, 0, steps, f"{work.name}: starting")
            return
        loss = "not finite" if record["loss"] is None else f"{record['loss']:.3f}"
        # Its end is told by another line, so the bar never counts as full here.
        done = min(record["step"], steps - 1)
        self._display.update(stage, done, steps, f"{work.name}: step {record['step']:,} of {steps:,}, loss {loss}")

    def _write_results(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if not any(isinstance(work, Training) for work in self._works):
            return
        if is_last or now >= self._results_due:
            write_results(self._folder)
            self._results_due = now + (time.monotonic() - now) / _RESULTS_SHARE


def printed_object(stdout: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a process printed last: all that it printed, its last line, or from a line `{` on."""
    text = stdout.decode("utf-8", "replace").strip()
    starts = [0, text.rfind("\n") + 1, text.rfind("\n{\n") + 1]
    for start_of in starts:
        with suppress(ValueError):
            found = json.loads(text[start_of:])
            if isinstance(found, dict):
                return found
    return None


def _why(code: int, log: Path) -> str:
    words = last_words(log)
    if code < 0:
        name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
        hint = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
        return f"killed by {name}{hint}"
    return words or f"exit status {code}, with no message"
