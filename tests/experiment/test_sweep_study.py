"""The study of a sweep: a point is taken once, given back when its process is gone, and storages that do not work are told."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from ohmlet.errors import ConfigError
from ohmlet.experiment.sweep_storage import url_of
from ohmlet.experiment.sweep_study import Study, startup
from tests.experiment.sweep_small import small

pytest.importorskip("optuna")


def opened(folder: Path) -> Study:
    return Study(small(), url_of(folder, None))


def test_points_are_taken_in_their_order_and_once(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    first.fill()
    second.fill()
    taken = [study.take() for study in (first, second, first, second)]
    assert [each and (each.index, each.point) for each in taken] == [(0, {"states": 4}), (1, {"states": 40}), (2, {"states": 400}), None]
    assert second.counts() == (0, 0, 3)


def test_threads_that_take_at_the_same_moment_get_different_points(tmp_path: Path) -> None:
    opened(tmp_path).fill()
    studies, found, start = [opened(tmp_path) for _ in range(3)], [], threading.Barrier(3)

    def take(study: Study) -> None:
        start.wait()
        found.append(study.take())

    threads = [threading.Thread(target=take, args=(study,)) for study in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.index for each in found if each) == [0, 1, 2]


def test_points_queued_twice_by_machines_that_start_together_are_tried_once(tmp_path: Path) -> None:
    study = opened(tmp_path)
    for _ in range(2):
        study.study.enqueue_trial({"states": 4}, user_attrs={"point": 0})
    first = study.take()
    assert first is not None
    assert study.take() is None
    study.finish(first, {"curves": {}}, 0.5)
    assert study.latest()[0].value == 0.5


def test_a_point_without_signs_of_life_is_queued_again_and_its_late_result_does_no_harm(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.fill()
    first = study.take()
    assert first is not None
    study.rescue()
    assert study.counts() == (0, 2, 1)
    study.storage.grace_period = 0.5
    time.sleep(2.1)  # the database counts whole seconds
    study.rescue()
    assert study.counts() == (0, 3, 0)
    again = study.take()
    assert again is not None
    assert again.index == 0
    for value in (0.25, 0.75):
        study.finish(again, {"curves": {}}, value)
    assert study.latest()[0].value == 0.25


def test_signs_of_life_keep_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmlet.experiment.sweep_storage.HEARTBEAT", 0.2)
    study = opened(tmp_path)
    study.fill()
    first = study.take()
    assert first is not None
    study.storage.grace_period = 1.1
    with study.alive(first):
        time.sleep(2.5)
        study.rescue()
    assert study.counts() == (0, 2, 1)


def test_tpe_draws_evenly_before_it_goes_by_results() -> None:
    assert [startup(trials) for trials in (1, 20, 32, 400)] == [4, 5, 8, 10]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "--storage is the URL of a database"),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
        ("oracel://me:secret@host/db", "does not work"),
        ("postgresql+nodriver://me:secret@host/db", "does not work"),
    ],
)
def test_storages_that_do_not_work_are_told_without_the_password(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        Study(small(), url)
    assert words in str(error.value)
    assert "secret" not in str(error.value)
    assert len(error.value.problems) == 1


def test_without_optuna_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'ohmlet\[sweep\]'"):
        opened(tmp_path)
