"""BG/NBD by maximum likelihood, after Fader, Hardie and Lee (2005), "Counting your customers the easy way".

It is fitted here because no maintained library fits: ``lifetimes`` was last released in 2020, ``btyd`` is a beta
of 2022, and ``pymc-marketing`` brings a sampler and a compiler for four parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, gammaln, hyp2f1

Float = NDArray[np.float64]
WEEK_DAYS = 7.0


@dataclass(frozen=True)
class BgNbd:
    """Fitted parameters; times are in weeks."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, repeats: Float, last_days: Float, age_days: Float) -> BgNbd:
        """From repeat purchase days, days from the first to the last, and days from the first to the cutoff.

        Raises:
            ValueError: the likelihood has no finite maximum that could be found.
        """
        cells, n = np.unique(np.stack([repeats, last_days / WEEK_DAYS, age_days / WEEK_DAYS], 1), axis=0,
                             return_counts=True)  # fmt: skip
        x, tx, t = cells.T
        weight = n / n.sum()

        def loss(theta: Float) -> float:
            model = cls(*np.exp(theta).tolist())
            return float(-(weight @ model._log_likelihood(x, tx, t)) + 1e-4 * float(theta @ theta))

        found = minimize(loss, np.log([0.5, 5.0, 0.8, 2.5]), method="L-BFGS-B", bounds=[(-6, 8)] * 4)
        if not np.isfinite(found.fun):
            raise ValueError("BG/NBD has no finite likelihood on these profiles")
        return cls(*np.exp(found.x).tolist())

    def _log_likelihood(self, x: Float, tx: Float, t: Float) -> Float:
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        head = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        stay = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        alive = -(r + x) * np.log(alpha + t)
        gone = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + tx)
        return np.asarray(head + stay + np.where(x > 0, np.logaddexp(alive, gone), alive))

    def any_purchase(self, repeats: Float, last_days: Float, age_days: Float, ahead_days: float) -> Float:
        """P(alive) times the chance that someone alive purchases within ``ahead_days``."""
        x, tx, t = repeats, last_days / WEEK_DAYS, age_days / WEEK_DAYS
        odds = np.log(self.a) - np.log(self.b + np.maximum(x, 1) - 1)
        odds = odds + (self.r + x) * (np.log(self.alpha + t) - np.log(self.alpha + tx))
        alive = np.where(x > 0, expit(-odds), 1.0)
        quiet = ((self.alpha + t) / (self.alpha + t + ahead_days / WEEK_DAYS)) ** (self.r + x)
        return np.asarray(alive * (1.0 - quiet))

    def expected_count(self, repeats: Float, last_days: Float, age_days: Float, ahead_days: float) -> Float:
        """Purchases to expect within ``ahead_days`` (equation 10 of the paper)."""
        x, tx, t, ahead = repeats, last_days / WEEK_DAYS, age_days / WEEK_DAYS, ahead_days / WEEK_DAYS
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        stay = ((alpha + t) / (alpha + t + ahead)) ** (r + x)
        head = (a + b + x - 1) / (a - 1) * (1 - stay * hyp2f1(r + x, b + x, a + b + x - 1, ahead / (alpha + t + ahead)))
        gone = a / (b + np.maximum(x, 1) - 1) * ((alpha + t) / (alpha + tx)) ** (r + x)
        return np.asarray(head / (1 + np.where(x > 0, gone, 0.0)))
