"""Simulated events whose true probabilities are known: the yardstick no real data can give.

The model, day by day, for a profile that joined and has not left:

- ``visit``, ``email_open`` and ``support_ticket`` happen independently, Poisson with the profile's own
  latent rate times the season of the weekday. Rates are gamma over profiles.
- ``purchase`` is Poisson with intensity

      mu · season(day) · (1 + V)^a_visit · (1 + E)^a_email_open · (1 + S)^a_support_ticket

  where ``mu`` is the profile's own latent rate (gamma) and V, E, S count what it did in the 30 days
  before that day: log-linear in log(1 + count), piecewise constant by day.
- A profile joins on a random day of the first half and says so by a ``signup`` event. From the next day
  on it leaves with its own daily chance (beta over profiles), silently and for good.
- Values (lognormal around the profile's own level) and channels (the profile's preferred one more often)
  decide nothing.

Gamma rates under Poisson counts and beta chances of leaving are conjugate, so the distribution of all
hidden quantities given the events before a cutoff is exact: a mixture over the day of leaving with a
gamma for each rate. The true probability of a purchase in the outcome window is its expectation: the
purchase rate and the chance of having left by now are integrated exactly; future visits, e-mails, tickets
and the day of leaving are drawn forward. No method that sees only the events can do better than this
probability. The approach is that of buy-till-you-die models (Fader, Hardie and Lee 2005, in
discrete time), with covariates in the purchase rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import inf, log
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.uint8]
Random = np.random.Generator

STREAMS = ("visit", "email_open", "support_ticket", "purchase")
INFLUENCES = STREAMS[:3]
PURCHASE = 3
CHANNELS = ("web", "app", "store", "email")
REGIONS = ("north", "east", "south", "west")
LEAK_KIND = "gift_wrap_reserved"
DRIVERS = (*STREAMS, "silence")

_DAY_US = 86_400_000_000
_DAY_S = 86_400
_CHUNK = 512


@dataclass(frozen=True)
class Gamma:
    """Daily rates of one stream over profiles.

    Attributes:
        mean: events per day of an average profile.
        shape: small means very different profiles; infinite means all alike.
    """

    mean: float
    shape: float

    @property
    def scale_rate(self) -> float:
        return self.shape / self.mean

    def draw(self, rng: Random, size: int) -> Floats:
        """The latent rates of ``size`` profiles."""
        if self.shape == inf:
            return np.full(size, self.mean)
        return rng.gamma(self.shape, self.mean / self.shape, size)

    def draw_given(self, rng: Random, seen: Floats, exposure: Floats, paths: int) -> Floats:
        """Rates given ``seen`` events over ``exposure`` days: float64[profiles, paths]."""
        if self.shape == inf:
            return np.full((len(seen), paths), self.mean)
        shape, rate = self.shape + seen, self.scale_rate + exposure
        return rng.standard_gamma(np.repeat(shape[:, None], paths, axis=1)) / rate[:, None]

    def log_evidence(self, seen: Floats, exposure: Floats) -> Floats:
        """Log probability of ``seen`` events by exposure, up to what does not depend on exposure."""
        if self.shape == inf:
            return -self.mean * exposure
        return -(self.shape + seen) * np.log(self.scale_rate + exposure)

    def none_in(self, seen: Floats, exposure: Floats, ahead: Floats) -> Floats:
        """Probability of no event over ``ahead`` more days, given ``seen`` over ``exposure`` days."""
        if self.shape == inf:
            return np.exp(-self.mean * ahead)
        rate = self.scale_rate + exposure
        return np.asarray(np.exp((self.shape + seen) * (np.log(rate) - np.log(rate + ahead))))

    def mean_given(self, seen: Floats, exposure: Floats) -> Floats:
        """Expected rate given ``seen`` events over ``exposure`` days."""
        if self.shape == inf:
            return np.full(len(seen), self.mean)
        return np.asarray((self.shape + seen) / (self.scale_rate + exposure))


@dataclass(frozen=True)
class Parameters:
    """The whole model; the defaults give about one buyer in five per 30 days.

    Attributes:
        visit, email_open, support_ticket, purchase: latent rates; the purchase rate is that without any
            influence.
        effects: exponents of one plus the counts of ``INFLUENCES`` in the purchase intensity.
        memory_days: how far back the influences count.
        leaving: the two parameters of the beta chance of leaving per day; None means nobody leaves.
        season: factor of each weekday from Monday on, with mean 1.
    """

    visit: Gamma = Gamma(0.12, 0.7)
    email_open: Gamma = Gamma(0.06, 0.8)
    support_ticket: Gamma = Gamma(0.01, 0.5)
    purchase: Gamma = Gamma(0.0035, 1.2)
    effects: tuple[float, float, float] = (0.8, 0.35, -0.6)
    memory_days: int = 30
    leaving: tuple[float, float] | None = (1.0, 500.0)
    season: tuple[float, float, float, float, float, float, float] = (1.0, 0.9, 0.9, 1.0, 1.2, 1.3, 0.7)

    @property
    def streams(self) -> tuple[Gamma, Gamma, Gamma, Gamma]:
        return self.visit, self.email_open, self.support_ticket, self.purchase

    def without_signal(self) -> Parameters:
        """The same with purchases alike for all: nothing a profile did says anything about them."""
        purchase = Gamma(self.purchase.mean * 3, inf)
        return replace(self, purchase=purchase, effects=(0.0, 0.0, 0.0), leaving=None)

    def season_on(self, first: date, day: int, days: int) -> Floats:
        """Season factors of ``days`` days from ``day`` on, counted from ``first``."""
        weekdays = (first.weekday() + np.arange(day, day + days)) % 7
        return np.take(np.array(self.season, dtype=np.float64), weekdays)

    def lift(self, recent: NDArray[np.int32]) -> Floats:
        """What the recent counts of the influences, int32[3, ...], multiply the purchase rate by."""
        return np.asarray(np.exp(np.tensordot(self.effects, np.log1p(recent), axes=1)))


@dataclass(frozen=True)
class Drivers:
    """What truly moves each profile's purchase intensity at a cutoff, in log intensity.

    Attributes:
        profile_ids: str[P].
        names: the four streams and ``silence``; for ``purchase`` it is the profile's own rate.
        impact: float64[P, 5]; the streams are centred on their mean over profiles, ``silence`` is the
            log probability of not having left, so that it only ever lowers.
    """

    profile_ids: NDArray[np.str_]
    names: tuple[str, ...]
    impact: Floats

    @property
    def strongest(self) -> NDArray[np.str_]:
        """The name of the largest impact, up or down, of each profile."""
        return np.asarray(np.array(self.names)[np.abs(self.impact).argmax(axis=1)])


@dataclass(frozen=True)
class _Past:
    """What the events before a cutoff say about profiles; streams in the order of ``STREAMS``."""

    rows: NDArray[np.intp]
    seen: Floats  # [4, P] events so far
    exposure: Floats  # [4, P] days so far, weighted by season and lift
    recent: Counts  # [3, memory, P] daily counts of the influences, oldest first
    tenure: NDArray[np.int64]  # [P] days since joining
    present: Floats  # [P] probability of not having left


@dataclass(frozen=True, eq=False)
class Simulation:
    """Events, and what is hidden behind them.

    Attributes:
        events: ``profile_id`` string, ``at`` timestamp[us], ``kind``, ``value`` (of purchases, else
            null) and ``channel``, in order of time.
        attributes: ``profile_id``, ``region`` (says nothing); with a planted leak also
            ``orders_to_date``, the orders up to the end of the simulation.
        first: day 0.
        days: days simulated; ``cutoff_day`` c is midnight at the start of day c.
        parameters: the model.
        rates: float64[4, P], latent daily rates in the order of ``STREAMS``.
        joined, left: int64[P], the days; a profile is absent from its day of leaving on.
        counts: uint8[4, days, P], events per day.
    """

    events: pa.Table
    attributes: pa.Table
    first: date
    days: int
    seed: int
    parameters: Parameters
    profile_ids: NDArray[np.str_]
    rates: Floats = field(repr=False)
    joined: NDArray[np.int64] = field(repr=False)
    left: NDArray[np.int64] = field(repr=False)
    counts: Counts = field(repr=False)

    def truth(
        self,
        cutoff_day: int,
        outcome_days: int,
        *,
        given: Literal["events", "everything"] = "events",
        paths: int = 100,
    ) -> tuple[NDArray[np.str_], Floats]:
        """Profiles that joined before the cutoff, and the true probability of a purchase of each.

        Args:
            cutoff_day: 1 to ``days``.
            outcome_days: length of the outcome window; it may reach past the end of the simulation.
            given: ``events`` knows what happened before the cutoff and the model: the best that can be
                done with data. ``everything`` also knows the latent rates and who has left.
            paths: futures drawn per profile; the error of a probability is about 0.1 / sqrt(paths).

        Raises:
            ValueError: a day is out of range.
        """
        self._check(cutoff_day, outcome_days)
        parts: list[Floats] = []
        known = np.flatnonzero(self.joined < cutoff_day)
        for chunk, rows in enumerate(_chunks(known)):
            rng = np.random.default_rng([self.seed, cutoff_day, outcome_days, chunk])
            past = self._past(cutoff_day, rows)
            if given == "events":
                parts.append(self._given_events(rng, cutoff_day, outcome_days, past, paths))
            else:
                parts.append(self._given_everything(rng, cutoff_day, outcome_days, past, paths))
        return self.profile_ids[known], np.concatenate(parts) if parts else np.empty(0)

    def outcome(self, cutoff_day: int, outcome_days: int) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
        """The same profiles as ``truth``, and whether each did purchase in the outcome window.

        Raises:
            ValueError: the window does not lie within the simulated days.
        """
        self._check(cutoff_day, outcome_days)
        if cutoff_day + outcome_days > self.days:
            raise ValueError(f"the window ends on day {cutoff_day + outcome_days}; {self.days} are simulated")
        known = np.flatnonzero(self.joined < cutoff_day)
        bought = self.counts[PURCHASE, cutoff_day : cutoff_day + outcome_days].sum(axis=0, dtype=np.int64)
        return self.profile_ids[known], bought[known] > 0

    def drivers(self, cutoff_day: int) -> Drivers:
        """What truly makes profiles that joined before the cutoff differ, given their events.

        Raises:
            ValueError: the day is out of range.
        """
        self._check(cutoff_day, 1)
        known = np.flatnonzero(self.joined < cutoff_day)
        parts: list[Floats] = []
        for rows in _chunks(known):
            past = self._past(cutoff_day, rows)
            recent = np.log1p(past.recent.sum(axis=1, dtype=np.int64))
            logs = [effect * r for effect, r in zip(self.parameters.effects, recent, strict=True)]
            own = self.parameters.purchase.mean_given(past.seen[PURCHASE], past.exposure[PURCHASE])
            parts.append(np.stack([*logs, np.log(own), np.log(np.maximum(past.present, 1e-12))], axis=1))
        impact = np.concatenate(parts) if parts else np.empty((0, len(DRIVERS)))
        streams = slice(0, len(STREAMS))
        if len(impact):
            impact[:, streams] -= impact[:, streams].mean(axis=0)
        return Drivers(self.profile_ids[known], DRIVERS, impact)

    def _check(self, cutoff_day: int, outcome_days: int) -> None:
        if not 1 <= cutoff_day <= self.days:
            raise ValueError(f"cutoff_day is {cutoff_day}; 1 to {self.days} is possible")
        if outcome_days < 1:
            raise ValueError(f"outcome_days is {outcome_days}; at least 1 is needed")

    def _past(self, cutoff: int, rows: NDArray[np.intp]) -> _Past:
        """Counts, exposures and the chance of still being there, from days before the cutoff alone."""
        counts = self.counts[:, :cutoff, rows]
        days = np.arange(cutoff)[:, None]
        weight = self.parameters.season_on(self.first, 0, cutoff)[:, None] * (days >= self.joined[rows])
        lift = self.parameters.lift(_recent_by_day(counts[:3], self.parameters.memory_days))
        plain, lifted = weight.cumsum(axis=0), (weight * lift).cumsum(axis=0)
        by_day = (plain, plain, plain, lifted)
        seen = counts.sum(axis=1, dtype=np.int64).astype(np.float64)
        return _Past(
            rows=rows,
            seen=seen,
            exposure=np.stack([e[-1] for e in by_day]),
            recent=_last_days(counts[:3], self.parameters.memory_days),
            tenure=cutoff - self.joined[rows],
            present=self._present(counts, seen, by_day, self.joined[rows]),
        )

    def _present(self, counts: Counts, seen: Floats, exposure: Sequence[Floats], joined: NDArray[np.int64]) -> Floats:
        """Probability of not having left: all possible days of leaving weighed by how well they fit."""
        if self.parameters.leaving is None:
            return np.ones(len(joined))
        cutoff = counts.shape[1]
        fit = sum(
            (g.log_evidence(n, e) for g, n, e in zip(self.parameters.streams, seen, exposure, strict=True)),
            start=np.zeros((cutoff, len(joined))),
        )
        # Row d of fit: present through day d. Having left on day d + 1 means exactly that, for every
        # d from the last event (or the day of joining) to two days before the cutoff.
        stays = np.arange(cutoff)[:, None] - joined  # days survived after the first
        active = counts.sum(axis=0, dtype=np.int64) > 0
        last = np.where(active.any(axis=0), cutoff - 1 - active[::-1].argmax(axis=0), joined)
        survival = _log_survival(self.parameters.leaving, cutoff)
        lengths = np.clip(stays, 0, None)
        gone = fit + _log_leaving(survival)[lengths]
        gone[np.arange(cutoff)[:, None] < last] = -np.inf
        gone[-1] = fit[-1] + survival[lengths[-1]]
        weights = np.exp(gone - gone.max(axis=0))
        return np.asarray(weights[-1] / weights.sum(axis=0))

    def _given_events(self, rng: Random, cutoff: int, ahead: int, past: _Past, paths: int) -> Floats:
        gammas = self.parameters.streams
        rates = [gammas[s].draw_given(rng, past.seen[s], past.exposure[s], paths) for s in range(PURCHASE)]
        stay = self._stay_given(rng, past.tenure, ahead, paths)
        lifted = self._lifted_days(rng, cutoff, ahead, past, rates, stay)
        none = gammas[PURCHASE].none_in(past.seen[PURCHASE][:, None], past.exposure[PURCHASE][:, None], lifted)
        return np.asarray(past.present * (1.0 - none.mean(axis=1)))

    def _given_everything(self, rng: Random, cutoff: int, ahead: int, past: _Past, paths: int) -> Floats:
        shape = (len(past.rows), paths)
        rates = [np.broadcast_to(self.rates[s, past.rows, None], shape) for s in range(PURCHASE)]
        stay = self._stay_given(rng, past.tenure, ahead, paths)
        lifted = self._lifted_days(rng, cutoff, ahead, past, rates, stay)
        none = np.exp(-self.rates[PURCHASE, past.rows, None] * lifted)
        return np.asarray((self.left[past.rows] >= cutoff) * (1.0 - none.mean(axis=1)))

    def _stay_given(self, rng: Random, tenure: NDArray[np.int64], ahead: int, paths: int) -> NDArray[np.int64]:
        """Days of the outcome window before leaving, of profiles present on the day before the cutoff."""
        shape = (len(tenure), paths)
        if self.parameters.leaving is None:
            return np.full(shape, ahead)
        a, b = self.parameters.leaving
        chance = rng.beta(a, b + np.repeat(tenure[:, None] - 1, paths, axis=1))
        return np.minimum(rng.geometric(np.maximum(chance, 1e-12)) - 1, ahead)

    def _lifted_days(
        self,
        rng: Random,
        cutoff: int,
        ahead: int,
        past: _Past,
        rates: Sequence[Floats],
        stay: NDArray[np.int64],
    ) -> Floats:
        """Days of the window weighted by season and lift, while present: float64[profiles, paths]."""
        memory = self.parameters.memory_days
        season = self.parameters.season_on(self.first, cutoff, ahead)
        recent = np.repeat(past.recent.sum(axis=1, dtype=np.int32)[:, :, None], stay.shape[1], axis=2)
        drawn = np.zeros((len(INFLUENCES), ahead, *stay.shape), dtype=np.uint8)
        lifted = np.zeros(stay.shape)
        for day in range(ahead):
            here = day < stay
            lifted += here * season[day] * self.parameters.lift(recent)
            for stream, rate in enumerate(rates):
                drawn[stream, day] = _poisson(rng, rate * (season[day] * here))
                recent[stream] += drawn[stream, day]
            recent -= past.recent[:, day, :, None] if day < memory else drawn[:, day - memory]
        return lifted


def simulate(
    profiles: int,
    days: int,
    seed: int,
    *,
    first: date = date(2024, 1, 1),
    signal: bool = True,
    planted_leak: bool = False,
    parameters: Parameters | None = None,
) -> Simulation:
    """Events of ``profiles`` profiles over ``days`` days; the same arguments give the same events.

    Args:
        profiles: how many profiles; memory is about four bytes per profile and day.
        days: how many days, from ``first`` on.
        seed: of every random choice.
        first: day 0.
        signal: False makes purchases alike for all profiles at all times, so that no method can tell
            profiles apart.
        planted_leak: adds two consequences of purchases that look like causes: an event
            ``gift_wrap_reserved`` stamped 1 to 20 days *before* the purchase it was written for, and
            the attribute ``orders_to_date`` as of the end of the simulation.
        parameters: the model; defaults where None.

    Raises:
        ValueError: fewer than 1 profile or 2 days.
    """
    if profiles < 1 or days < 2:
        raise ValueError(f"at least 1 profile and 2 days are needed, not {profiles} and {days}")
    model = parameters or Parameters()
    model = model if signal else model.without_signal()
    rng = np.random.default_rng(seed)
    joined = rng.integers(0, max(1, days // 2), profiles)
    left = joined + 1 + _stays(rng, model, profiles)
    rates = np.stack([g.draw(rng, profiles) for g in model.streams])
    counts = _counts(rng, model, first, days, rates, joined, left)
    ids = np.array([f"P{i:06d}" for i in range(profiles)])
    events = _events(rng, counts, joined, first, planted_leak)
    return Simulation(
        events=_table(ids, *events),
        attributes=_attributes(rng, ids, counts, planted_leak),
        first=first,
        days=days,
        seed=seed,
        parameters=model,
        profile_ids=ids,
        rates=rates,
        joined=joined,
        left=left,
        counts=counts,
    )


# --- days and counts ------------------------------------------------------------------------------------


def _stays(rng: Random, model: Parameters, size: int) -> NDArray[np.int64]:
    """Days a profile stays after its first."""
    if model.leaving is None:
        return np.full(size, np.iinfo(np.int32).max, dtype=np.int64)
    chance = rng.beta(*model.leaving, size)
    return np.minimum(rng.geometric(np.maximum(chance, 1e-12)) - 1, np.iinfo(np.int32).max)


def _counts(
    rng: Random,
    model: Parameters,
    first: date,
    days: int,
    rates: Floats,
    joined: NDArray[np.int64],
    left: NDArray[np.int64],
) -> Counts:
    """uint8[4, days, P]: events per stream, day and profile."""
    season = model.season_on(first, 0, days)
    counts = np.zeros((len(STREAMS), days, len(joined)), dtype=np.uint8)
    recent = np.zeros((len(INFLUENCES), len(joined)), dtype=np.int32)
    for day in range(days):
        here = (joined <= day) & (day < left)
        rate = rates * (season[day] * here)
        rate[PURCHASE] *= model.lift(recent)
        counts[:, day] = _poisson(rng, rate)
        recent += counts[:3, day]
        if day >= model.memory_days:
            recent -= counts[:3, day - model.memory_days]
    return counts


def _poisson(rng: Random, rate: Floats) -> Counts:
    return np.minimum(rng.poisson(rate), 255).astype(np.uint8)


def _recent_by_day(counts: Counts, memory: int) -> NDArray[np.int32]:
    """int32[3, days, P]: counts of the ``memory`` days before each day."""
    total = np.zeros((counts.shape[0], counts.shape[1] + 1, counts.shape[2]), dtype=np.int32)
    np.cumsum(counts, axis=1, out=total[:, 1:])
    upto = total[:, :-1].copy()
    upto[:, memory:] -= total[:, : max(0, counts.shape[1] - memory)]
    return upto


def _last_days(counts: Counts, memory: int) -> Counts:
    """uint8[3, memory, P]: the last days, oldest first, padded with empty days in front."""
    last = counts[:, -memory:]
    empty = np.zeros((counts.shape[0], memory - last.shape[1], counts.shape[2]), dtype=np.uint8)
    return np.concatenate([empty, last], axis=1)


def _log_survival(leaving: tuple[float, float], days: int) -> Floats:
    """Log probability of staying at least 0, 1, ... ``days`` days after the first (beta-geometric)."""
    a, b = leaving
    step = np.log(b + np.arange(days)) - np.log(a + b + np.arange(days))
    return np.concatenate([[0.0], step.cumsum()])


def _log_leaving(survival: Floats) -> Floats:
    """Log probability of staying exactly 0, 1, ... days after the first."""
    return np.asarray(survival[:-1] + np.log(-np.expm1(np.diff(survival))))


def _chunks(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]


# --- tables ---------------------------------------------------------------------------------------------

_Rows = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_], Floats, NDArray[np.str_]]


def _events(rng: Random, counts: Counts, joined: NDArray[np.int64], first: date, leak: bool) -> _Rows:
    """Profile, time, kind, value and channel of every event, in order of time."""
    streams = np.moveaxis(counts, 2, 0)
    who, what, day = np.nonzero(streams)
    times = streams[who, what, day]
    who, what, day = np.repeat(who, times), np.repeat(what, times), np.repeat(day, times)
    kind, value = np.array(STREAMS)[what], np.full(len(who), np.nan)
    bought = what == PURCHASE
    level = rng.normal(log(40.0), 0.6, len(joined))
    value[bought] = np.round(np.exp(rng.normal(level[who[bought]], 0.4)), 2)
    second = day * _DAY_S + rng.integers(1, _DAY_S, len(who))
    parts = [(who, second, kind, value)]
    newcomers = np.flatnonzero(joined < counts.shape[1])
    parts.append((newcomers, joined[newcomers] * _DAY_S, *_plain("signup", len(newcomers))))
    if leak:
        early = second[bought] - rng.integers(_DAY_S, 20 * _DAY_S, int(bought.sum()))
        within = early > joined[who[bought]] * _DAY_S
        parts.append((who[bought][within], early[within], *_plain(LEAK_KIND, int(within.sum()))))
    who, second, kind, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    preferred = rng.integers(0, len(CHANNELS), len(joined))
    other = rng.integers(0, len(CHANNELS), len(who))
    channel = np.array(CHANNELS)[np.where(rng.random(len(who)) < 0.6, preferred[who], other)]
    order = np.lexsort((kind, who, second))
    at = second * 1_000_000 + (first - date(1970, 1, 1)).days * _DAY_US
    return who[order], at[order], kind[order], value[order], channel[order]


def _plain(kind: str, size: int) -> tuple[NDArray[np.str_], Floats]:
    return np.full(size, kind), np.full(size, np.nan)


def _table(
    ids: NDArray[np.str_],
    who: NDArray[np.int64],
    at: NDArray[np.int64],
    kind: NDArray[np.str_],
    value: Floats,
    channel: NDArray[np.str_],
) -> pa.Table:
    return pa.table(
        {
            "profile_id": pa.array(ids[who], pa.string()),
            "at": pa.array(at, pa.timestamp("us")),
            "kind": pa.array(kind, pa.string()),
            "value": pa.array(value, pa.float64(), mask=np.isnan(value)),
            "channel": pa.array(channel, pa.string()),
        }
    )


def _attributes(rng: Random, ids: NDArray[np.str_], counts: Counts, leak: bool) -> pa.Table:
    columns = {
        "profile_id": pa.array(ids, pa.string()),
        "region": pa.array(np.array(REGIONS)[rng.integers(0, len(REGIONS), len(ids))], pa.string()),
    }
    if leak:
        columns["orders_to_date"] = pa.array(counts[PURCHASE].sum(axis=0, dtype=np.int64))
    return pa.table(columns)


__all__ = [
    "CHANNELS",
    "DRIVERS",
    "LEAK_KIND",
    "REGIONS",
    "STREAMS",
    "Drivers",
    "Gamma",
    "Parameters",
    "Simulation",
    "simulate",
]
