"""The study of a sweep: points as trials in an Optuna storage, taken by any number of processes, kept when these die."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ohmlet.errors import ConfigError, shortened
from ohmlet.experiment import sweep_storage
from ohmlet.experiment.sweep import Swept
from ohmlet.experiment.sweep_axis import Axis
from ohmlet.experiment.sweep_storage import first_line, imported_optuna, opened, safe
from ohmlet_kernels.noise import key

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

__all__ = ["Study", "Taken"]

DEATHS = 3
"""Processes that may die of a point before it is given up."""
MASK = 2**32 - 1


@frozen
class Taken:
    """A trial that this process runs: its id in the storage, and its point."""

    trial_id: int
    index: int
    point: dict[str, Any]


class Study:
    """One sweep in an Optuna storage; every method may be called by several processes at a time."""

    def __init__(self, swept: Swept, url: str, *, fresh: bool = False) -> None:
        self.swept = swept
        self.optuna = imported_optuna()
        self.storage = opened(url)
        try:
            self.study = self._opened(fresh)
            self.storage.remove_session()
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"--storage {safe(url)} does not work: {first_line(error)}") from error

    def _opened(self, fresh: bool) -> Any:
        optuna, name = self.optuna, self.swept.name
        if fresh and name in optuna.get_all_study_names(self.storage):
            optuna.delete_study(study_name=name, storage=self.storage)
        study = optuna.create_study(study_name=name, storage=self.storage, direction="maximize", load_if_exists=True)
        self.study = study
        settings = self._settings()
        # Read back from JSON, as the storage gives it.
        found, now = study.user_attrs.get("settings"), json.loads(json.dumps(settings))
        if found is None:
            study.set_user_attr("settings", settings)
        elif found != now:
            raise ConfigError(
                f"the study '{name}' is of other settings; start over with --fresh, or choose another --out or name; what differs:",
                *_differences(found, now),
            )
        return study

    def _settings(self) -> dict[str, Any]:
        """Return what makes results: all but how many trials there are and how many run at a time."""
        plain = self.swept.to_plain()
        plain["sweep"] = {name: value for name, value in plain["sweep"].items() if name not in {"processes", "trials"}}
        return plain

    def fill(self) -> None:
        """Queue what has no trial yet, and once more what has failed before."""
        held = self.latest()
        waiting = self.optuna.trial.TrialState
        for index, point in enumerate(self.swept.sweep.points()):
            trial = held.get(index)
            if trial is None:
                self.study.enqueue_trial(self._stored(point), user_attrs={"point": index})
            elif trial.state == waiting.FAIL:
                self.study.enqueue_trial(trial.params or self._stored(point), user_attrs={"point": index})

    def _stored(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point as the storage holds it: a value that is no scalar as its JSON."""
        return {name: _choice(value) if self.swept.sweep.over[name].values else value for name, value in point.items()}

    def latest(self) -> dict[int, FrozenTrial]:
        """Return the trial of each point: a finished one where there is one, else the last."""
        states = self.optuna.trial.TrialState
        out: dict[int, FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            index = trial.user_attrs.get("point")
            if index is None or index >= self.swept.sweep.size or trial.state == states.PRUNED:
                continue
            if index not in out or out[index].state != states.COMPLETE:
                out[index] = trial
        return out

    def counts(self) -> tuple[int, int, int]:
        """Return how many points are over (finished or failed), wait, and are running somewhere."""
        states = [trial.state for trial in self.latest().values()]
        kind = self.optuna.trial.TrialState
        over = sum(state.is_finished() for state in states)
        return over, states.count(kind.WAITING), states.count(kind.RUNNING)

    def point_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial, in the order of the axes."""
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        return {name: self._value(axis, params[name]) for name, axis in self.swept.sweep.over.items() if name in params}

    @staticmethod
    def _value(axis: Axis, stored: Any) -> Any:
        return next((value for value in axis.values if _choice(value) == stored), stored)

    def take(self) -> Taken | None:
        """Return a point for this process to run, chosen by the sampler where the file does not say it, or None when none waits."""
        states = self.optuna.trial.TrialState
        for waiting in self.study.get_trials(deepcopy=False, states=(states.WAITING,)):
            trial_id, index = waiting._trial_id, waiting.user_attrs.get("point")
            if index is None or index >= self.swept.sweep.size or not self._claim(trial_id):
                continue
            twins = [each for each in self.study.get_trials(deepcopy=False) if each.user_attrs.get("point") == index]
            if any(
                each.state == states.COMPLETE or (each.state == states.RUNNING and each.number < waiting.number)
                for each in twins
                if each.number != waiting.number
            ):
                # Two machines that start at the same moment both queue every point.
                self.storage.set_trial_state_values(trial_id, states.PRUNED)
                continue
            self.storage.record_heartbeat(trial_id)
            # A study object remembers the trials of its last question, so each question gets one of its own.
            asked = self.optuna.load_study(study_name=self.swept.name, storage=self.storage, sampler=self._sampler(index))
            asked.get_trials(deepcopy=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
                trial = self.optuna.trial.Trial(asked, trial_id)
                point = {name: self._value(axis, _suggest(trial, name, axis)) for name, axis in self.swept.sweep.over.items()}
            return Taken(trial_id, index, point)
        return None

    def _claim(self, trial_id: int) -> bool:
        try:
            return bool(self.storage.set_trial_state_values(trial_id, self.optuna.trial.TrialState.RUNNING))
        except self.optuna.exceptions.UpdateFinishedTrialError:
            return False

    def _sampler(self, index: int) -> Any:
        """Return the sampler of one point: seeded by it, so that neither processes nor interruptions change what it draws."""
        samplers, seed = self.optuna.samplers, key(self.swept.sweep.seed, "sweep", index) & MASK
        if self.swept.sweep.method != "tpe":
            return samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            return samplers.TPESampler(seed=seed, n_startup_trials=startup(self.swept.sweep.size), constant_liar=True)

    def finish(self, taken: Taken, outcome: Mapping[str, Any], value: float) -> None:
        """Record what a point came to."""
        with self._still_ours():
            self.storage.set_trial_user_attr(taken.trial_id, "outcome", dict(outcome))
            self.storage.set_trial_state_values(taken.trial_id, self.optuna.trial.TrialState.COMPLETE, [value])

    def fail(self, trial_id: int, words: str) -> None:
        """Record why a point came to nothing."""
        with self._still_ours():
            self.storage.set_trial_user_attr(trial_id, "error", words)
            self.storage.set_trial_state_values(trial_id, self.optuna.trial.TrialState.FAIL)

    def give_back(self, trial_id: int) -> None:
        """Queue a point again that was stopped."""
        with self._still_ours():
            self.storage.set_trial_state_values(trial_id, self.optuna.trial.TrialState.WAITING)

    def died(self, trial_id: int, words: str) -> None:
        """Queue a point again whose process died; give it up after too many of them."""
        deaths = self.storage.get_trial(trial_id).user_attrs.get("deaths", 0) + 1
        with self._still_ours():
            self.storage.set_trial_user_attr(trial_id, "deaths", deaths)
        if deaths >= DEATHS:
            self.fail(trial_id, f"{words}, {deaths} times")
        else:
            self.give_back(trial_id)

    def rescue(self) -> None:
        """Queue points again that run on and have given no sign of life for too long."""
        for trial_id in self.storage._get_stale_trial_ids(self.study._study_id):
            self.died(trial_id, "its process gave no sign of life any more")

    @contextmanager
    def _still_ours(self) -> Iterator[None]:
        """Let a trial be that somebody else has finished meanwhile: of the same settings and seeds, so with the same result."""
        try:
            yield
        except self.optuna.exceptions.UpdateFinishedTrialError:
            return

    @contextmanager
    def alive(self, taken: Taken) -> Iterator[None]:
        """Give signs of life while the block runs."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(sweep_storage.HEARTBEAT):
                self.storage.record_heartbeat(taken.trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def startup(trials: int) -> int:
    """Return how many points tpe draws evenly before it goes by results: a quarter of all, at least four and at most ten."""
    return max(4, min(10, trials // 4))


def _choice(value: Any) -> Any:
    """Return a listed value as Optuna holds it: scalars as they are, all else as JSON."""
    return value if isinstance(value, str | int | float | bool) or value is None else json.dumps(value, sort_keys=True)


def _suggest(trial: Trial, name: str, axis: Axis) -> Any:
    if axis.values:
        return trial.suggest_categorical(name, [_choice(value) for value in axis.values])
    low, high = axis.ends()[0], axis.ends()[-1]
    if axis.is_whole:
        return trial.suggest_int(name, low, high, step=int(axis.step or 1), log=axis.log)
    return trial.suggest_float(name, low, high, step=axis.step, log=axis.log)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _differences(before: Any, now: Any) -> list[str]:
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{path}: {_told(old, path)} in the study, {_told(new, path)} now"
        for path in dict.fromkeys((*old, *new))
        if (path in old) != (path in new) or old.get(path) != new.get(path)
    ]


def _told(held: dict[str, Any], path: str) -> str:
    return shortened(held[path]) if path in held else "absent"
