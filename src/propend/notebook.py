"""What notebooks show of things: small pieces of HTML with a style of their own, and a bar under long work.

Every text is escaped. Nothing is loaded from anywhere: no script, no picture, no font. Colours follow the notebook's
light or dark theme (Jupyter's, VS Code's), else that of the browser. Nothing of a notebook is imported: where one runs,
its shell is there already.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from propend.language import say, speaking, spoken

P = ParamSpec("P")
T = TypeVar("T")
Publish = Callable[[dict[str, str], str, bool], None]
"""Shows something, by its forms: under which id, and whether in place of what is shown under it."""

_DARK = "--p-line:#4a545c;--p-muted:#a3adb4;--p-blue:#7fb0e0;--p-plum:#d29fc9;--p-warn:#e5b000"
STYLE = (
    ".propend{--p-line:#dcdfe2;--p-muted:#5b6870;--p-blue:#2f5d8a;--p-plum:#8a5a83;--p-warn:#8a6500;"
    "font-size:14px;line-height:1.45;max-width:820px;color:inherit}"
    f"@media(prefers-color-scheme:dark){{.propend{{{_DARK}}}}}"
    '[data-jp-theme-light="true"] .propend{--p-line:#dcdfe2;--p-muted:#5b6870;--p-blue:#2f5d8a;--p-plum:#8a5a83;'
    "--p-warn:#8a6500}"
    f'[data-jp-theme-light="false"] .propend,.vscode-dark .propend{{{_DARK}}}'
    ".propend h4{margin:0;font-size:16px}.propend p{margin:4px 0}.propend .q{color:var(--p-muted)}"
    ".propend .w{color:var(--p-warn)}.propend .s{margin-top:10px;font-weight:600}"
    ".propend table{border-collapse:collapse;margin:4px 0}"
    ".propend th,.propend td{text-align:left;padding:2px 14px 2px 0;border:0;border-bottom:1px solid var(--p-line);"
    "background:none;color:inherit;vertical-align:top}"
    ".propend th{font-weight:400;color:var(--p-muted)}.propend td.n,.propend th.n{text-align:right}"
    ".propend .b{width:150px}.propend .b i{display:block;height:10px;margin-top:5px;background:var(--p-blue)}"
    ".propend .b i.m{background:var(--p-plum)}.propend pre{margin:4px 0;font-size:13px;background:none;color:inherit}"
    ".propend progress{width:260px;height:12px;vertical-align:middle;margin-right:10px;accent-color:var(--p-blue)}"
)


# --- pieces -----------------------------------------------------------------------------------------------------


def card(title: str, *parts: str) -> str:
    """A thing as HTML: its name, and pieces under it."""
    head = f"<h4>{escape(title)}</h4>" if title else ""
    return f'<div class="propend"><style>{STYLE}</style>{head}{"".join(parts)}</div>'


def line(text: str, kind: str = "") -> str:
    """A line of text.

    Args:
        kind: ``q`` in a muted colour, ``w`` as a warning, ``s`` above a part.
    """
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>" if text else ""


def listing(text: str) -> str:
    """A document as it is written."""
    return f"<pre>{escape(text)}</pre>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Rows under their headings; a number is a bar of that share of the width, to be seen beside its text.

    Args:
        rows: texts, and numbers from −1 to 1; what is below nothing has another colour.
    """
    shown = [[_cell(value) for value in row] for row in rows]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in shown)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if shown else ""


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        kind = ' class="n"' if re.fullmatch(r"[+−×]?[\d.,]+(\s[%×])?", value) else ""
        return f"<td{kind}>{escape(value)}</td>"
    width = 100 * min(abs(value), 1.0)
    return f'<td class="b"><i{" class=m" if value < 0 else ""} style="width:{width:.1f}%"></i></td>'


# --- long work ----------------------------------------------------------------------------------------------------


class Bar:
    """A bar under a cell: how much of the work is done, and what it is at.

    Args:
        publish: shows HTML in the notebook.
        shares: of the whole time, by stage.
    """

    def __init__(self, publish: Publish, shares: Mapping[str, float]) -> None:
        self._publish, self._shares, self._id = publish, shares, uuid4().hex
        self._passed, self._stage, self._since = 0.0, "", time.monotonic()
        self._language = spoken()
        self._show(say("starting"), False)

    def begun(self, stage: str) -> None:
        """Show the stage that begins, and that the one before is over."""
        self._passed = min(self._passed + self._shares.get(self._stage, 0.0), 0.99)
        self._stage, self._language = stage, spoken()
        self._show(say(stage) if stage in self._shares else stage, True)

    def over(self, finished: bool) -> None:
        """Show that the work is done, or where it stopped."""
        seconds = f"{time.monotonic() - self._since:.0f}"
        with speaking(self._language):
            if finished:
                self._passed = 1.0
                self._show(say("done in {seconds} s", seconds=seconds), True)
            else:
                stage = say(self._stage) if self._stage in self._shares else self._stage
                self._show(say("stopped after {seconds} s, at: {stage}", stage=stage, seconds=seconds), True)

    def _show(self, words: str, instead: bool) -> None:
        bar = f'<progress max="1" value="{self._passed:.2f}"></progress>'
        self._publish(
            {"text/html": card("", f"{bar}<span>{escape(words)}</span>"), "text/plain": words}, self._id, instead
        )


def watched(shares: Mapping[str, float]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Long work with a ``progress``: in a notebook, where nobody listens to it, a bar does.

    Args:
        shares: of the whole time, roughly, by stage.
    """

    def watch(work: Callable[P, T]) -> Callable[P, T]:
        @wraps(work)
        def watching(*args: P.args, **given: P.kwargs) -> T:
            publish = publisher()
            if publish is None or given.get("progress") is not None:
                return work(*args, **given)
            with _bar(publish, shares) as bar:
                given["progress"] = bar.begun
                return work(*args, **given)

        return watching

    return watch


@contextmanager
def _bar(publish: Publish, shares: Mapping[str, float]) -> Iterator[Bar]:
    bar = Bar(publish, shares)
    try:
        yield bar
    except BaseException:  # an interrupted cell, too
        bar.over(False)
        raise
    bar.over(True)


def publisher() -> Publish | None:
    """What shows things under the cell that runs; None where this is no notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None

    def publish(forms: dict[str, str], name: str, instead: bool) -> None:
        shell.display_pub.publish(forms, transient={"display_id": name}, update=instead)

    return publish
