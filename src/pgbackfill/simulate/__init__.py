"""A simulated primary with replicas and a job, run by the real decision core: limits tried on paper.

scenario = load_scenario(Path("scenario.toml"))
result = simulate(scenario)              # the same seed gives the same result
outcome = judge(result)                  # numbers
draw(result, Path("scenario.png"))       # needs matplotlib
"""

from pgbackfill.simulate.outcome import Outcome, judge
from pgbackfill.simulate.run import Result, simulate
from pgbackfill.simulate.scenario import Scenario, load_scenario, parse_scenario

__all__ = ["Outcome", "Result", "Scenario", "judge", "load_scenario", "parse_scenario", "simulate"]
