"""The picture of a score over time, as SVG. The same history gives the same bytes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pygal
from pygal.style import Style

from worker.lib.clock import zone
from worker.scoring.card import Card
from worker.scoring.records import Score
from worker.web.words import look

# pygal's import hook finds its own map plug-ins, which we do not use. It is of the kind that Python 3.11 gives an
# ImportWarning for at every later import, and Python 3.12 does not know any more.
sys.meta_path[:] = [hook for hook in sys.meta_path if type(hook).__module__ != "pygal"]

WIDTH, HEIGHT = 960, 280
_FEW: Final = 15
"""Up to so many scores each gets a dot; a line through more shows itself."""
_STYLE: Final = Style(
    background="transparent", plot_background="transparent", foreground="#33393f", foreground_strong="#16191c",
    foreground_subtle="#8a9299", font_family="system-ui, sans-serif", label_font_size=13, major_label_font_size=13,
    colors=("#0072B2",), opacity="1", opacity_hover="1", transition="0s",
)  # fmt: skip

_THICK: Final = "inline:.series .line { stroke-width: 3px; stroke-opacity: 1 }"


def score_chart(card: Card, history: Sequence[Score], now: int, time_zone: str) -> str:
    """The score from the first that was kept until now, with a line where each band begins. Gaps are unknown scores."""
    points = [(_local(score.at, time_zone), score.score) for score in history]
    if points:
        points.append((max(_local(now, time_zone), points[-1][0]), points[-1][1]))  # the last one stands until now
    chart: Any = pygal.DateTimeLine(
        width=WIDTH, height=HEIGHT, js=[], no_prefix=True, disable_xml_declaration=True, style=_STYLE, title=None,
        show_legend=False, range=(0, 100), css=("file://style.css", "file://graph.css", _THICK), show_dots=len(points) <= _FEW, dots_size=3,
        margin=8, include_x_axis=True, x_labels=_days(points), no_data_text="No score yet", x_label_rotation=0,
        truncate_label=-1, x_value_formatter=lambda moment: f"{moment.day} {moment:%b}",
    )  # fmt: skip
    chart.uuid = "score"  # would be random, and differ each time
    chart.y_labels = [{"value": 0, "label": "0"}, *_edges(card), {"value": 100, "label": "100"}]
    line = [(at, None if score is None else float(score)) for at, score in points]
    chart.add("Score", line, allow_interruptions=True)
    chart.add_xml_filter(_still)
    return str(chart.render(is_unicode=True))


def _edges(card: Card) -> list[dict[str, Any]]:
    return [
        {"value": float(band.edge), "label": f"{look(band.name).label} from {band.edge.normalize():f}"}
        for band in card.bands
        if 0 < band.edge < Decimal(100)
    ]


def _days(points: Sequence[tuple[datetime, Decimal | None]]) -> list[datetime]:
    """About six days to name below the line."""
    if not points:
        return []
    first, last = points[0][0], points[-1][0]
    step = max(timedelta(days=1), (last - first) / 5)
    return [first + step * n for n in range(int((last - first) / step) + 1)]


def _local(moment: int, time_zone: str) -> datetime:
    """As a clock on the wall there shows it, which is what pygal draws."""
    return datetime.fromtimestamp(moment, zone(time_zone)).replace(tzinfo=None)


def _still(root: Any) -> Any:
    """Without scripts, and without comments, which name the day of the making."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag.endswith("script"):
                parent.remove(child)
    return root
