"""The search over one variant's values: what to try next, and which trials stop early.

Pure functions of the trials so far: a tune that was killed goes on as if it had not been. Lists are
tried in a random order without repeats, so that with trials enough the search is a grid. Otherwise
the sweep file's own values come first, then START values spread over each range, the same for all
variants, then Optuna's TPE. Poor trials stop early by Optuna's successive halving.
"""

import dataclasses
import importlib.util
import itertools
import math
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from configs.hyper import Interval, rounded
from training.errors import UserError

Domain = Interval | Sequence[Any]  # a list has the values themselves
Domains = Mapping[str, Domain]
Values = dict[str, Any]
Curve = Sequence[tuple[int, float]]  # (steps spent on a trial, its score there)

START = 4
HALVING = 2  # of the trials that get so far, one in so many goes on
RUNGS = 1  # halvings within a run: at its quarter, high rates that will lead are still behind
_REDRAWS = 20  # of values that were tried already


@dataclasses.dataclass(frozen=True)
class Trial:
  """One choice of values, on as many of the tuning seeds as it deserved.

  `outcome`: complete, pruned, diverged or failed. `score` is the mean over all seeds of a complete
  one, else the last that is known, if any.
  """

  values: Values
  outcome: str
  curve: Curve

  @property
  def score(self) -> float | None:
    return self.curve[-1][1] if self.curve else None


def require_optuna() -> None:
  """UserError, with what to type, if Optuna is not installed."""
  if importlib.util.find_spec("optuna") is None:
    raise UserError('experiments.tune needs Optuna: pip install -e ".[tune]"')


def combinations(domains: Domains) -> int | None:
  """The number of choices that there are, None if a range makes them endless."""
  lists = _lists(domains)
  return math.prod(map(len, lists)) if len(lists) == len(domains) else None


def _lists(domains: Domains) -> list[Sequence[Any]]:
  return [domain for domain in domains.values() if not isinstance(domain, Interval)]


def contains(domain: Domain, value: Any) -> bool:
  if isinstance(domain, Interval):
    return value is not None and domain.low <= value <= domain.high
  return value in domain


def propose(
  variant: str, domains: Domains, defaults: Values, trials: Sequence[Trial]
) -> Values | None:
  """The values of the next trial; None when all were tried."""
  tried = [trial.values for trial in trials]
  return next(
    (values for values in _ideas(variant, domains, defaults, trials) if values not in tried), None
  )


def rungs(steps: int, seeds: int) -> list[int]:
  """The steps, over all seeds, from which a trial is judged."""
  first = max(steps // HALVING**RUNGS, 1)
  doublings = itertools.takewhile(
    lambda at: at < steps * seeds, (first * HALVING**n for n in itertools.count())
  )
  return list(doublings)


def should_stop(earlier: Sequence[Curve], curve: Curve, steps: int) -> bool:
  """Whether a trial with this curve is none of the better half at a rung that it has reached.

  Rungs are at a quarter, a half and all of a run's `steps`, and at each doubling after that, on
  further seeds. The first trial to come to a rung passes it.
  """
  optuna = _optuna()
  first = max(steps // HALVING**RUNGS, 1)
  pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=HALVING)
  sampler = optuna.samplers.RandomSampler(seed=0)  # asked for nothing
  study = optuna.create_study(direction="maximize", pruner=pruner, sampler=sampler)
  for one in [*earlier, curve]:
    trial, stops = study.ask(), False
    for spent, score in one:
      trial.report(score, spent)
      stops = trial.should_prune()
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
  return stops  # of the last


def _ideas(
  variant: str, domains: Domains, defaults: Values, trials: Sequence[Trial]
) -> Iterator[Values]:
  """Values to try next, the best idea first."""
  if all(contains(domain, defaults.get(field)) for field, domain in domains.items()):
    yield {field: defaults[field] for field in domains}
  if combinations(domains) is not None:
    every = [
      dict(zip(domains, choice, strict=True)) for choice in itertools.product(*_lists(domains))
    ]
    random.Random("lists").shuffle(every)
    yield from every
    return
  yield from (
    {field: _spread(field, domain)[index] for field, domain in domains.items()}
    for index in range(START)
  )
  for again in range(_REDRAWS):
    yield _by_tpe(domains, trials, seed=zlib.crc32(f"{variant}/{len(trials)}/{again}".encode()))


def _spread(field: str, domain: Domain) -> list[Any]:
  """START values in a random order, one from each of as many equal parts of the domain."""
  draw = random.Random(field)
  parts = draw.sample(range(START), START)
  return [_at(domain, (part + draw.random()) / START) for part in parts]


def _at(domain: Domain, position: float) -> Any:
  """The value at a position between 0 and 1."""
  if not isinstance(domain, Interval):
    return domain[int(position * len(domain))]
  if domain.log:
    value = domain.low * (domain.high / domain.low) ** position
  else:
    value = domain.low + (domain.high - domain.low) * position
  return _fitted(domain, value)


def _fitted(domain: Interval, value: float | int) -> float | int:
  """A number that one can read, within the range; whole if its ends are."""
  if isinstance(domain.low, int) and isinstance(domain.high, int):
    return round(value)
  return min(max(rounded(value), domain.low), domain.high)


def _by_tpe(domains: Domains, trials: Sequence[Trial], seed: int) -> Values:
  optuna = _optuna()
  sampler = optuna.samplers.TPESampler(n_startup_trials=0, seed=seed)
  study = optuna.create_study(direction="maximize", sampler=sampler)
  spaces = {field: _distribution(domain) for field, domain in domains.items()}
  for trial in trials:
    if trial.outcome != "failed":
      study.add_trial(_told(domains, spaces, trial))
  drawn = study.ask(spaces).params
  return {
    field: _fitted(domain, drawn[field]) if isinstance(domain, Interval) else domain[drawn[field]]
    for field, domain in domains.items()
  }


def _told(domains: Domains, spaces: Mapping[str, Any], trial: Trial) -> Any:
  """A trial as Optuna has it. One that diverged is worse than all that were pruned: no score."""
  optuna = _optuna()
  params = {field: _drawn(domains[field], value) for field, value in trial.values.items()}
  about: dict[str, Any] = {"params": params, "distributions": spaces}
  if trial.outcome == "complete":
    return optuna.trial.create_trial(value=trial.score, **about)
  known = dict(trial.curve) if trial.outcome == "pruned" else {}
  state = optuna.trial.TrialState.PRUNED
  return optuna.trial.create_trial(state=state, intermediate_values=known, **about)


def _drawn(domain: Domain, value: Any) -> Any:
  """As _distribution has it: a list's value by its place."""
  return value if isinstance(domain, Interval) else list(domain).index(value)


def _distribution(domain: Domain) -> Any:
  distributions = _optuna().distributions
  if not isinstance(domain, Interval):
    return distributions.CategoricalDistribution(range(len(domain)))  # of places: any value will do
  whole = isinstance(domain.low, int) and isinstance(domain.high, int)
  kind = distributions.IntDistribution if whole else distributions.FloatDistribution
  return kind(domain.low, domain.high, log=domain.log)


def _optuna() -> Any:
  """Imported when first needed: it takes a second."""
  import optuna

  optuna.logging.set_verbosity(optuna.logging.WARNING)
  return optuna
