"""How the race is judged: policies of others as they are published, verdicts beyond the spread, aims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from benchmarks.race.courses import COURSES, DAEMON
from benchmarks.race.figures import Figures, Standing
from benchmarks.race.goals import aims, verdict
from benchmarks.race.policies import GRID, POLICIES, GhOst, GitLab, LhmReplicaLag, PtOsc, Sequin

FIGURES = Figures(
    seconds=10, done=1, rows_per_s=1000, over_bound=1.02, lag_p50=0.2, lag_p95=0.3, lag_p99=0.4, lag_max=0.5,
    above_soft=0, above_hard=0, p50_ms=1, p95_ms=4, p99_ms=8, retries=0,
)  # fmt: skip


class Lags:
    """Answers one reading after the other, and counts."""

    def __init__(self, *readings: float) -> None:
        self.readings = list(readings)

    async def __call__(self) -> float:
        return self.readings.pop(0)


async def test_gh_ost_stops_above_its_limit_and_goes_on_below() -> None:
    policy, lags = GhOst(collect_s=0, throttled_sleep_s=0), Lags(9.0, 1.6, 1.4, 99.0)
    await policy.between(1000, 0.01, lags)
    assert lags.readings == [99.0]
    assert policy.rows == 1000


async def test_lhm_doubles_its_sleep_above_ten_whole_seconds_and_never_sleeps_less_than_at_first() -> None:
    policy = LhmReplicaLag(initial_s=0.001, timeout_s=0.001)
    sleeps = []
    for lag in (10.9, 11.0, 30.0, 3.0, 0.0, 0.0):
        await policy.between(2000, 0.01, Lags(lag))
        sleeps.append(policy.timeout_s)
    assert sleeps == [0.001, 0.002, 0.004, 0.002, 0.001, 0.001]


async def test_pt_osc_sizes_chunks_by_the_decaying_mean_rate_and_waits_for_the_standby() -> None:
    policy, lags = PtOsc(check_interval_s=0), Lags(1.1, 1.0)
    await policy.between(1000, 0.01, lags)
    assert policy.rows == 50_000
    assert lags.readings == []
    await policy.between(50_000, 1.0, Lags(0.0))
    assert policy.rows == int((750 + 50_000) / (0.0075 + 1.0) * 0.5)


async def test_gitlab_begins_a_new_job_once_its_interval_is_filled() -> None:
    policy = GitLab(pause_s=0.0, interval_s=30.0)
    await policy.between(1000, 0.01, Lags())
    first = policy._job_began
    await policy.between(1000, 0.01, Lags())
    assert policy._job_began == first is not None
    policy._job_began = long_ago = first - 30.0
    await policy.between(1000, 0.01, Lags())
    assert policy._job_began > long_ago + 29.0


async def test_sequin_doubles_its_page_up_to_the_largest() -> None:
    policy, pages = Sequin(), []
    for _ in range(7):
        await policy.between(policy.rows, 0.05, Lags())
        pages.append(policy.rows)
    assert pages == [2000, 4000, 8000, 16_000, 32_000, 40_000, 40_000]


def standing(name: str, speeds: Sequence[float], lags: Sequence[float], p95_ms: float = 4) -> Standing:
    return Standing(
        name,
        [
            replace(FIGURES, rows_per_s=speed, lag_p99=lag, p95_ms=p95_ms)
            for speed, lag in zip(speeds, lags, strict=True)
        ],
    )


OWN = standing(DAEMON, [1000, 1010, 1020], [0.4, 0.5, 0.6])


@pytest.mark.parametrize(
    ("speeds", "lags", "words"),
    [
        ([1100, 1200, 1300], [0.1, 0.2, 0.3], "faster, gentler"),
        ([1015, 1200, 1300], [0.1, 0.2, 0.45], "as fast, as gentle"),
        ([900, 950, 999], [0.7, 0.8, 9.0], "slower, rougher"),
    ],
)
def test_faster_and_gentler_mean_beyond_the_spread_of_all_rounds(
    speeds: Sequence[float], lags: Sequence[float], words: str
) -> None:
    other = standing("gh-ost", speeds, lags)
    assert verdict(other, {DAEMON: OWN, "gh-ost": other}, COURSES["constant"]) == words


def test_a_contender_that_is_both_is_named_and_the_aim_missed() -> None:
    better = standing("sequin", [1100, 1200, 1300], [0.1, 0.2, 0.3])
    *others, last = aims(COURSES["constant"], {DAEMON: OWN, "sequin": better})
    assert [aim.met for aim in others] == [True, True]
    assert not last.met
    assert "sequin" in last.what


def test_one_round_has_no_spread_and_so_no_verdict() -> None:
    own, other = standing(DAEMON, [1000], [0.4]), standing("gh-ost", [2000], [0.1])
    assert verdict(other, {DAEMON: own, "gh-ost": other}, COURSES["constant"]) == ""
    assert len(aims(COURSES["constant"], {DAEMON: own, "gh-ost": other})) == 2


def test_the_front_counts_only_settings_that_are_as_gentle() -> None:
    gentle, rough = list(GRID)[:2]
    standings = {
        DAEMON: OWN,
        gentle: standing(gentle, [900] * 3, [0.0] * 3, p95_ms=3),
        rough: standing(rough, [5000] * 3, [0.0] * 3, p95_ms=30),
    }
    assert aims(COURSES["cpu"], standings)[0].value == pytest.approx(900 / 1010)


def test_every_course_knows_its_contenders_and_ends_with_an_open_link() -> None:
    for course in COURSES.values():
        assert set(course.contenders) <= {"nobody", DAEMON, *POLICIES, *GRID}
        assert course.schedule is None or course.schedule.steps[-1].rate > 0


def test_a_course_cut_short_has_no_aims() -> None:
    assert aims(COURSES["constant"].scaled(0.25), {DAEMON: OWN}) == []
