"""What every command is used for, as lines that can be typed: the last part of its ``--help``, as in a manual page.

They speak of one shop: its folder ``my-shop``, its instance ``first``, its customer 17841. A test parses each of them.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from propend.cli.screen import tell

Example = tuple[str, str]
"""What somebody wants, and the line that does it."""

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "": (
        ("See the main job on shipped real data", "propend demo"),
        ("Begin with your own events", "propend init my-shop --data orders.csv"),
        ("Read what the proposed goal means on them", "propend check my-shop/instances/first.yaml"),
        ("From data to explained scores", "propend run my-shop/instances/first.yaml --out results"),
        ("Have commands and options completed by your shell", "propend --install-completion"),
    ),
    "demo": (
        ("Two goals on shipped real data, each into a folder of its own", "propend demo"),
        ("Only the first of them, elsewhere", "propend demo trial --quick"),
    ),
    "init": (
        ("A workspace, with an instance proposed from a look at a file", "propend init my-shop --data orders.csv"),
        (
            "Say which column is which, where names do not tell",
            "propend init my-shop --data log.csv --profile nr --at moment --event what",
        ),
        ("From a table of a database", "propend init my-shop --data 'env:SHOP_URL?table=shop.orders'"),
        ("From a store", "propend init my-shop --data s3://shop/orders"),
        ("An empty workspace", "propend init my-shop"),
    ),
    "check": (
        ("What a goal means on the data, before anything is trained", "propend check my-shop/instances/first.yaml"),
        ("As it would have been on a day of the past", "propend check first.yaml --as-of 2011-08-01"),
        ("The same goal on another file, for a program", "propend check first.yaml --data new.parquet --json"),
    ),
    "run": (
        ("From data to explained scores and a report", "propend run my-shop/instances/first.yaml --out results"),
        ("An instance of a workspace, by its id", "propend run first --workspace my-shop"),
        ("On data that did not exist when it was written", "propend run first.yaml --data march.parquet --out march"),
        ("On a cluster, within a bound of memory", "propend run first.yaml --engine spark --memory 4GB --out results"),
        ("Reading only the new rows of a database", "propend run first.yaml --mirror kept --out results"),
    ),
    "train": (
        ("A model and how good it is, without scores", "propend train my-shop/instances/first.yaml --out model"),
        ("As if it were the first of August", "propend train first.yaml --as-of 2011-08-01 --out model"),
    ),
    "score": (
        ("Score everybody now with the model of an earlier run", "propend score results --out this-week"),
        ("The same from other files", "propend score results --data week-32.parquet --out week-32"),
    ),
    "evaluate": (
        ("What came of a run, once its window is over", "propend evaluate results --data orders-to-june.csv"),
        ("Of all runs of an instance, also as a page", "propend evaluate .propend/runs/first --out aftermath"),
        ("Whether a new model is better than the one in use", "propend evaluate results --challenger model"),
    ),
    "report": (
        ("Write the page of a run again", "propend report results"),
        ("To hand it on", "propend report results --out churn.html"),
    ),
    "explain": (
        ("Why one customer has its score", "propend explain 17841 --run results"),
        ("What moved it since an earlier run", "propend explain 17841 --run this-week --since results"),
        ("What sets it apart from another", "propend explain 17841 --run results --beside 12347"),
    ),
    "moved": (
        ("Who moved bucket between two runs, and why", "propend moved --run this-week --since results"),
        ("The same for a program", "propend moved --run this-week --since results --json"),
    ),
    "compile": (("Compile before the first run, as the last step of an installation", "propend compile"),),
    "list": (
        ("Instances and runs of a workspace", "propend list my-shop"),
        ("Those of this folder, for a program", "propend list --json"),
    ),
    "connectors": (("What can be read, and by which package", "propend connectors"),),
    "history": (
        ("The newest runs of a workspace", "propend history --workspace my-shop"),
        ("The last five of one instance", "propend history first --limit 5 --workspace my-shop"),
    ),
    "cancel": (("Stop a run", "propend cancel 20260301T060000-1a2b3c --workspace my-shop"),),
    "versions": (
        ("Every version of an instance", "propend versions first --workspace my-shop"),
        ("What the third version changed", "propend versions first --before 2 --after 3 --workspace my-shop"),
    ),
    "enable": (("Schedule an instance again", "propend enable first --workspace my-shop"),),
    "disable": (("Keep an instance from being run for a while", "propend disable first --workspace my-shop"),),
    "delete": (
        ("Remove an instance, and take back what was pushed", "propend delete first --workspace my-shop"),
        ("In a script, leaving with others what they have", "propend delete first --yes --keep-exports"),
    ),
    "forget": (
        ("Remove a person from everything", "propend forget 17841 --workspace my-shop"),
        ("Without leaving the id in the shell's history", "propend forget --workspace my-shop < id.txt"),
    ),
    "serve": (
        ("Pages and REST on this machine, without log-in", "propend serve --workspace my-shop --no-auth"),
        ("For others on the network, who log in", "propend serve --workspace my-shop --host 0.0.0.0 --port 80"),
    ),
    "doctor": (
        ("What is missing on this machine", "propend doctor"),
        ("And in a workspace, for a program", "propend doctor --workspace my-shop --json"),
    ),
    "export": (
        ("The newest scores as a file", "propend export first --to scores.csv --workspace my-shop"),
        ("Only the likeliest tenth", "propend export first --to top.csv --where 'percentile > 90'"),
        ("Into a table of PostgreSQL", "propend export first --to env:CRM_URL --table scores"),
        ("The JSON schema of a form of XDM", "propend export --schema xdm-profile --option tenant=acme"),
    ),
    "destination": (("Put every later run into a file", "propend destination add first crm --option format=parquet"),),
    "destination add": (
        ("Put every later run into a file", "propend destination add first crm --option format=parquet"),
        (
            "Only members of a segment, when asked",
            "propend destination add first calls --kind table --option table=calls --segment 3 --disabled",
        ),
    ),
    "destination list": (("Where scores go, and how the last push went", "propend destination list first"),),
    "destination push": (("Push the newest run now", "propend destination push 1"),),
    "destination try": (("See whether a push would succeed, before there is one", "propend destination try 1"),),
    "destination remove": (
        ("Remove a destination, and take back what it was given", "propend destination remove 1"),
        ("Leave there what it was given", "propend destination remove 1 --keep-exports"),
    ),
    "user": (("Let somebody in who may change things", "propend user add ana --role manage --workspace my-shop"),),
    "user add": (
        ("Let somebody in who may change things", "propend user add ana --role manage --workspace my-shop"),
        ("Somebody who comes by OpenID Connect", "propend user add bo@example.com --oidc --workspace my-shop"),
        ("In a script, with a password from a file", "propend user add ana --workspace my-shop < password.txt"),
    ),
    "user list": (("Who may log in", "propend user list --workspace my-shop"),),
    "user password": (("A new password, which is asked for", "propend user password ana --workspace my-shop"),),
    "user disable": (("Let somebody in no more", "propend user disable ana --workspace my-shop"),),
    "user enable": (("Let somebody in again", "propend user enable ana --workspace my-shop"),),
    "token": (("A secret for a program that reads", "propend token create ana --label dashboard"),),
    "token create": (
        ("A secret for a program that reads", "propend token create ana --label dashboard --workspace my-shop"),
        ("One that may change things, for a week", "propend token create ana --scope manage --expires 7d"),
    ),
    "segment": (
        ("Whom to call", "propend segment create first calls \"bucket = 'high' and percentile > 95\""),
        ("Their scores as a file", "propend segment members 1 --out calls.csv"),
    ),
    "segment create": (
        ("Save a rule", "propend segment create first calls \"bucket = 'high' and percentile > 95\""),
        ("By what a score goes by", "propend segment create first wide 'times_average >= 2' --workspace my-shop"),
    ),
    "segment list": (("Segments of one instance", "propend segment list first --workspace my-shop"),),
    "segment show": (
        ("A rule, and how many it means", "propend segment show 1 --workspace my-shop"),
        ("Who joined and left, run by run", "propend segment show 1 --history --workspace my-shop"),
    ),
    "segment members": (
        ("Their scores as a file", "propend segment members 1 --out calls.csv --workspace my-shop"),
        ("Who joined by the newest run", "propend segment members 1 --change joined > joined.csv"),
    ),
    "segment change": (
        ("Another rule", "propend segment change 1 --where 'percentile > 90' --workspace my-shop"),
        ("Another name", "propend segment change 1 --name callers --workspace my-shop"),
    ),
    "segment delete": (("Remove a segment", "propend segment delete 1 --workspace my-shop"),),
    "segment take": (
        ("Those of a run's folder, without a workspace", "propend segment take results --where \"bucket = 'high'\""),
        ("As a file", "propend segment take results --where 'percentile > 90' --out top.parquet"),
    ),
}
"""By the name of the command, those of a group as ``user add``; of the whole under no name."""


def illustrate(app: typer.Typer) -> None:
    """Let every command and group of commands end its help with its examples."""
    app.info.cls = IllustratedGroup
    for command in app.registered_commands:
        command.cls = IllustratedCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            illustrate(group.typer_instance)


def shown(name: str) -> str:
    """The examples of a command as its help ends with them: what is wanted as a comment, the line under it."""
    return "\n\n".join([" Examples", *(f"   # {wanted}\n   {line}" for wanted, line in EXAMPLES.get(name, ()))])


def _tell_examples(context: Any) -> None:
    """Print them under the help, not broken to the width of the terminal: lines are there to be copied."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    tell(shown(" ".join(names)))


class IllustratedCommand(TyperCommand):
    """A command whose help ends with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        super().format_help(ctx, formatter)
        _tell_examples(ctx)


class IllustratedGroup(TyperGroup):
    """A group of commands whose help ends with examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        super().format_help(ctx, formatter)
        _tell_examples(ctx)
