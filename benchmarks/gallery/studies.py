"""The studies of the gallery: which document, on which data, as of when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from propend.demo.simulator import Gamma, Parameters, Simulation, simulate
from propend.instance import Instance

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DAYS, SEED = 480, 7


@dataclass(frozen=True)
class Simulated:
    """How the data of a study are made.

    Attributes:
        profiles: how many.
        signal: False makes a purchase as likely for everybody.
        purchase: mean and shape of the daily rate of purchases; None for the simulator's own.
    """

    profiles: int
    signal: bool = True
    purchase: tuple[float, float] | None = None

    @property
    def script(self) -> tuple[str, str]:
        """Names to import and the call that makes the data, as Python for readers."""
        signal = "" if self.signal else ", signal=False"
        if self.purchase is None:
            return "simulate", f"simulate({self.profiles:_}, {DAYS}, {SEED}{signal})"
        rate = f"Parameters(purchase=Gamma({self.purchase[0]}, {self.purchase[1]}))"
        return "Gamma, Parameters, simulate", f"simulate({self.profiles:_}, {DAYS}, {SEED}{signal}, parameters={rate})"

    def make(self) -> Simulation:
        """Events, with the true probabilities behind them."""
        parameters = Parameters(purchase=Gamma(*self.purchase)) if self.purchase else None
        return simulate(self.profiles, DAYS, SEED, signal=self.signal, parameters=parameters)


@dataclass(frozen=True)
class Study:
    """One question of the gallery.

    Attributes:
        name: of its folder in ``examples``, which has one document and ``README.md``.
        data: whose data these are, for tables.
        licence: of the data.
        folder: of the data, under ``DATA``; empty where they are simulated.
        as_of: what "now" is moved to; empty for the data's end.
        simulated: how the data are made, where they are.
    """

    name: str
    data: str
    licence: str
    folder: str = ""
    as_of: str = ""
    simulated: Simulated | None = None

    @property
    def home(self) -> Path:
        """Its folder."""
        return EXAMPLES / self.name

    @property
    def document(self) -> Path:
        """The instance."""
        [path] = self.home.glob("*.yaml")
        return path

    @property
    def instance(self) -> Instance:
        """The instance, read."""
        return Instance.load(self.document)

    @property
    def page(self) -> Path:
        """What people read."""
        return self.home / "README.md"

    @property
    def figures(self) -> Path:
        """What was measured; the page's tables are made of it."""
        return self.home / "figures.json"

    @property
    def title(self) -> str:
        """The heading of its page."""
        return self.page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


STUDIES = (
    Study("retail_churn", "Online Retail II, by Daqing Chen (UCI)", "CC BY 4.0", "online_retail_ii"),
    Study("repeat_purchase", "CDNOW, by Fader and Hardie", "public research data, no formal licence", "cdnow",
          as_of="1998-06-30"),
    Study("category_conversion", "The Complete Journey 2.0, by 84.51°", "CC0", "complete_journey"),
    Study("coupon_redemption", "The Complete Journey 2.0, by 84.51°", "CC0", "complete_journey"),
    Study("subscription", "propend's own simulator", "Apache-2.0, as propend is",
          simulated=Simulated(2_000, purchase=(0.012, 6.0))),
    Study("web_events", "Luma, Adobe's demo shop", "Apache-2.0", "luma_xdm"),
    Study("contributors", "commit logs of a public repository, ids hashed", "facts of a free repository",
          "git_contributors"),
    Study("hotel_stays", "Contoso Hotels, by Microsoft; synthetic", "CC BY 4.0", "contoso_synthetic"),
    Study("no_signal", "propend's own simulator", "Apache-2.0, as propend is",
          simulated=Simulated(2_000, signal=False)),
)  # fmt: skip
"""In the order of the pages."""
