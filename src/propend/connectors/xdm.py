"""What is known of Adobe's XDM: which fields make which event, whose ids, and what is no event at all.

Pure knowledge: names and orders, no rows and no SQL (``engines.xdm`` has that). Names of fields are paths without the
``xdm:`` of JSON-LD (``plain_key``). Sources: the public XDM repository (ExperienceEvent class and its field groups),
and the reference specification, IN-06 to IN-16 and ID-01 to ID-06.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Test = Literal["counter", "present"]


@dataclass(frozen=True)
class Rule:
    """A kind of event, and the fields that show it.

    Attributes:
        kind: what the event is called.
        test: ``counter``: a measure whose value is above 0, or that has an id and no value; ``present``: filled.
        fields: any of them is enough.
        made: whether the marketer did it, not the profile: it is no behaviour (IN-16).
    """

    kind: str
    test: Test
    fields: tuple[str, ...]
    made: bool = False


def _counter(kind: str, *fields: str, made: bool = False) -> Rule:
    return Rule(kind, "counter", fields, made)


def _present(kind: str, *fields: str, made: bool = False) -> Rule:
    return Rule(kind, "present", fields, made)


ACTS = (
    _counter("purchases", "commerce.purchases"),
    _present("order", "commerce.order.purchaseID", "commerce.order.purchaseOrderNumber", "order.orderID"),
    _counter("checkouts", "commerce.checkouts"),
    _counter("productListAdds", "commerce.productListAdds"),
    _counter("productListRemovals", "commerce.productListRemovals"),
    _counter("productListOpens", "commerce.productListOpens"),
    _counter("productListReopens", "commerce.productListReopens"),
    _counter("saveForLaters", "commerce.saveForLaters"),
    _counter("productViews", "commerce.productViews"),
    _counter("productListViews", "commerce.productListViews"),
    _counter("applicationInstalls", "application.installs"),
    _counter("applicationFirstLaunches", "application.firstLaunches"),
    _counter("applicationUpgrades", "application.upgrades"),
    _counter("applicationCrashes", "application.crashes"),
    _counter("applicationFeatureUsages", "application.featureUsages"),
    _counter("applicationLaunches", "application.launches"),
    _counter("applicationCloses", "application.applicationCloses", "application.closes"),
    _counter("mediaCompletes", "media.mediaTimed.completes"),
    _counter("mediaStarts", "media.mediaTimed.starts"),
    _counter(
        "mediaViews",
        *("media.mediaTimed.impressions", "media.mediaTimed.mediaSegmentViews", "media.mediaTimed.mediaSegmentView"),
        "media.mediaTimed.mediaChapter.impressions",
    ),
    _counter("placeEntries", "placeContext.POIinteraction.poiEntries"),
    _counter("placeExits", "placeContext.POIinteraction.poiExits"),
    _counter("messageUnsubscribes", "directMarketing.unsubscribes", "directMarketing.unsubscriptions"),
    _counter("messageClicks", "directMarketing.clicks"),
    _counter("messageOpens", "directMarketing.opens"),
    _present("pushActions", "pushNotificationTracking.customAction.actionID"),
    _present("pushOpens", "pushNotificationTracking.pushProviderMessageID"),
    _present("inAppActions", "inappMessageTracking.action"),
    _counter("adConversions", "advertising.conversions"),
    _counter("adClicks", "advertising.clicks"),
    _counter(
        "adViews",
        *("advertising.completes", "advertising.thirdQuartiles", "advertising.midpoints", "advertising.firstQuartiles"),
        "advertising.timePlayed",
    ),
    _counter("webInteraction", "web.webInteraction.linkClicks"),
    _counter("messageBounces", "directMarketing.bounces", "nonDeliverables.sends", made=True),
    _counter("messageDeliveries", "directMarketing.deliveries", "directMarketing.delivered", made=True),
    _counter("messageSends", "directMarketing.sends", "directMarketing.targets", made=True),
    _counter("impressions", "advertising.impressions", "advertising.starts", made=True),
    _present("search", "search.keywords", "siteSearch.query"),
)
"""Acts, the most telling first: of a row that shows several, the first is its kind. What is nearest to money comes
first, then what a profile does less often; what the marketer did only where the profile did nothing."""

PAGES = (
    _present("webVisit", "web.webPageDetails.name"),
    _counter("webVisit", "web.webPageDetails.pageViews"),
    _present("campaignTracking", "_experience.campaign.trackinglogID"),
    _present("messageSends", "_experience.campaign.broadlogID", made=True),
    _present("webVisit", "web.webPageDetails.URL", "web.webPageView.URL"),
    _present("campaignVisits", "marketing.trackingCode", "marketing.campaignName"),
)
"""Where an event was, which every hit says: asked only where neither acts nor ``eventType`` say what it was."""

RULES = (*ACTS, *PAGES)
OTHER, OTHER_BY = "other", "nothing of these filled"
"""The kind of an event that nothing says more about, and what it goes by."""
PAGE_TYPES = ("web.webpagedetails.pageviews", "page-view", "pageview", "page_view")
"""Values of ``eventType``, in small letters, that only say that there was a page."""

EVENT_TYPES = {
    "commerce.purchases": "purchases",
    "commerce.order": "order",
    "commerce.checkouts": "checkouts",
    "commerce.productlistadds": "productListAdds",
    "commerce.productlistremovals": "productListRemovals",
    "commerce.productlistopens": "productListOpens",
    "commerce.productlistreopens": "productListReopens",
    "commerce.saveforlaters": "saveForLaters",
    "commerce.productviews": "productViews",
    "commerce.productlistviews": "productListViews",
    "web.webinteraction.linkclicks": "webInteraction",
    "application.install": "applicationInstalls",
    "application.firstlaunch": "applicationFirstLaunches",
    "application.upgrade": "applicationUpgrades",
    "application.crash": "applicationCrashes",
    "application.launch": "applicationLaunches",
    "application.close": "applicationCloses",
    "media.sessionstart": "mediaStarts",
    "media.sessioncomplete": "mediaCompletes",
    "location.entry": "placeEntries",
    "location.exit": "placeExits",
    "advertising.clicks": "adClicks",
    "advertising.conversions": "adConversions",
    "advertising.completes": "adViews",
    "advertising.firstquartiles": "adViews",
    "advertising.midpoints": "adViews",
    "advertising.thirdquartiles": "adViews",
    "advertising.timeplayed": "adViews",
    "advertising.impressions": "impressions",
    "advertising.starts": "impressions",
    "directmarketing.emailopened": "messageOpens",
    "directmarketing.emailclicked": "messageClicks",
    "directmarketing.emailunsubscribed": "messageUnsubscribes",
    "directmarketing.emailsent": "messageSends",
    "directmarketing.emaildelivered": "messageDeliveries",
    "directmarketing.emailbounced": "messageBounces",
    "directmarketing.emailbouncedsoft": "messageBounces",
    "message.feedback": "messageDeliveries",
    "delivery.feedback": "messageDeliveries",
    "pushtracking.applicationopened": "pushOpens",
    "pushtracking.customaction": "pushActions",
    "inappmessagetracking.interact": "inAppActions",
    "inappmessagetracking.dismiss": "inAppActions",
    "inappmessagetracking.display": "impressions",
    "decisioning.propositiondisplay": "impressions",
    "decisioning.propositionfetch": "impressions",
    "decisioning.propositionsend": "messageSends",
}
"""Kinds by ``eventType`` in small letters; any other ``eventType`` is a kind of its own."""
MARKETER_MADE = tuple(sorted({rule.kind for rule in RULES if rule.made}))
"""Kinds that are something done to a profile: set aside and counted, never behaviour (IN-16)."""

# --- names ----------------------------------------------------------------------------------------------------

_URI = "https://ns.adobe.com/experience/"
AT, EVENT_ID, EVENT_TYPE = "timestamp", "_id", "eventType"
ITEMS = "productListItems"
ITEM_TOTAL, ITEM_PRICE, ITEM_QUANTITY, ITEM_CURRENCY = "priceTotal", "price", "quantity", "currencyCode"
TOTALS = ("commerce.order.priceTotal", "order.priceTotal")
"""What was paid in all, which comes before the sum of the items."""
CURRENCIES = ("commerce.order.currencyCode", "order.payment.currencyCode")
MAP, END_USER_IDS = "identityMap", "endUserIDs"
IDENTITY_URI = "https://data.adobe.io/entities/identity/"
"""How an id begins that is written as an address; the id is what follows."""


def plain_key(key: str) -> tuple[str, ...]:
    """A key as parts of a plain path: without ``xdm:``, ``@id`` as ``_id``, Adobe's addresses as ``_experience``."""
    bare = key.removeprefix("xdm:").strip()
    if bare.startswith(_URI):
        return ("_experience", *(part for part in bare.removeprefix(_URI).split("/") if part))
    return (f"_{bare[1:]}",) if bare.startswith("@") else ((bare,) if bare else ())


# --- what it is -----------------------------------------------------------------------------------------------

Shape = Literal["event", "subscription", "membership", "profile", "fragment", ""]
WHAT = {
    "subscription": "subscription records: facts about profiles with a time, for `data.attributes`",
    "membership": "memberships of segments: what was decided about profiles, no events of theirs",
    "profile": "records about profiles: facts for `data.attributes`, no events",
    "fragment": "a part of events without their `timestamp`: nothing says when it happened",
}
"""What rows are that are no events."""
_COMMON = ("search", "siteSearch", "marketing", "order")
"""Groups whose names others use as well: they do not make rows XDM."""
_TELLING = (
    *(field for rule in RULES for field in rule.fields if field.split(".")[0] not in _COMMON),
    *(ITEMS, MAP, f"{END_USER_IDS}._experience"),
)
_SUBSCRIPTION = (
    "planName", "startDate", "endDate", "term", "termUnitOfTime", "billingPeriod", "billingStartDate", "chargeMethod",
    "paymentMethod", "paymentStatus", "contractID", "contractId", "renew", "topUp", "subscriber",
)  # fmt: skip
_MEMBERSHIP_FIELDS = ("segmentID", "lastQualificationTime", "validUntil", "segmentMembership", "segmentMemberships")
_MEMBERSHIP_MARKS = ("segmentMembership", "segmentMemberships", "segmentList", "segmentID")
START = "startDate"
LATER = ("endDate", "status", "paymentStatus", "reason", "renew", "revision")
"""Fields of a subscription that are written after its start: nobody knows since when their value holds."""


def shape_of(paths: Collection[str], prefixed: bool) -> Shape:
    """What rows with these plain paths are; empty if they do not look like XDM.

    Args:
        prefixed: whether any key was written with ``xdm:`` or as an address of Adobe.
    """
    tops = {path.split(".")[0] for path in paths}
    groups = {path.split(".")[0] for path in paths if any(f"{path}.".startswith(f"{t}.") for t in _TELLING)}
    subscription = START in tops and len(tops & set(_SUBSCRIPTION)) >= 3
    if AT in tops and (groups or prefixed):
        return "event"
    if subscription:
        return "subscription"
    if len(tops & set(_MEMBERSHIP_FIELDS)) >= 2 or (prefixed and tops & set(_MEMBERSHIP_MARKS) and not groups - {MAP}):
        return "membership"
    if prefixed or groups:
        return "profile" if groups - {"_experience"} == {MAP} else "fragment"
    return ""


# --- whose it is ----------------------------------------------------------------------------------------------

_BY_KEY = {"mcid": "ECID", "aaid": "AAID", "tntid": "TNTID", "emailid": "EMAIL", "phone": "PHONE", "campaign": "CPGN"}
_ALIASES = {"MCID": "ECID", "AVID": "AAID", "EMAILS": "EMAIL", "MAIL": "EMAIL"}
_NUMBERS = {"4": "ECID", "6": "EMAIL", "7": "PHONE", "9": "TNTID", "10": "AAID", "411": "ADCLOUD"}
"""Adobe's own numbers of its standard namespaces."""
_NAMESPACE_URI = re.compile(r"https://data\.adobe\.io/entities/namespace/(\d+)")
_WRITTEN = re.compile(
    r"\s*(?:(?P<space>[^()]+?)\s*\(\s*(?P<path>.+?)\s*\)|identityMap\[\s*(?P<key>.+?)\s*\]|(?P<bare>\S+))\s*"
)


def namespace_of_key(key: str) -> str:
    """The namespace of ``endUserIDs._experience.KEY`` (IN-10, ID-06)."""
    return _BY_KEY.get(key.lower(), key.upper())


def namespace(name: str) -> str:
    """A namespace in one form, whoever wrote it: ``mcid``, ``ecid`` and Adobe's number 4 are ``ECID``."""
    bare = name.strip().removeprefix("xdm:")
    numbered = _NAMESPACE_URI.fullmatch(bare)
    if numbered:
        return _NUMBERS.get(numbered.group(1), bare)
    return _ALIASES.get(bare.upper(), bare.upper())


def namespace_of_path(path: str) -> str:
    """The namespace that a path speaks of: of ``personalEmail.address`` it is ``EMAIL``."""
    low = path.lower()
    parts = path.split(".")
    if low.startswith(f"{END_USER_IDS.lower()}._experience.") and len(parts) > 2:
        return namespace_of_key(parts[2])
    if "email" in low:
        return "EMAIL"
    return "PHONE" if "phone" in low else namespace(parts[-1])


@dataclass(frozen=True)
class Wanted:
    """An identity as a document names it.

    Attributes:
        namespace: in one form; empty where it is not said.
        path: of the field; ``identityMap`` for the map.
    """

    namespace: str
    path: str


def read_identity(text: str) -> Wanted | None:
    """``ECID (endUserIDs._experience.mcid.id)``, ``identityMap[EMAIL]`` or a path; None for anything else."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    if found["key"]:
        return Wanted(namespace(found["key"]), MAP)
    if found["space"]:
        return Wanted(namespace(found["space"]), found["path"])
    bare = found["bare"]
    return Wanted("" if bare == MAP else namespace_of_path(bare), bare)
