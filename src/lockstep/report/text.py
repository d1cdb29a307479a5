"""Numbers and names as people read them."""

from html import escape
from numbers import Real
from typing import Any

MISSING = "—"


def number(value: Any) -> str:
    """Return a number with four significant digits and thousands separators; integers whole.

    >>> number(1234567), number(0.5), number(98765.4), number(999.96), number(0.00001234), number(None)
    ('1,234,567', '0.5000', '98,765', '1000', '1.234e-05', '—')
    """
    if value is None or value != value:
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    size = abs(value)
    if isinstance(value, int) or (size < 1e15 and float(value).is_integer()):
        return f"{int(value):,}"
    if 1_000 <= size < 1e15:
        return f"{value:,.0f}"
    return f"{value:#.4g}".removesuffix(".") if 1e-4 <= size < 1_000 else f"{value:.4g}"


def share(value: Any) -> str:
    """Return a share in percent, three significant digits; one that is not 0 never reads as 0 %.

    >>> share(0.25), share(0.00061), share(0.0), share(1e-9), share(1)
    ('25 %', '0.061 %', '0 %', '<0.001 %', '100 %')
    """
    if value is None or value != value:
        return MISSING
    percent = 100 * float(value)
    if 0 < percent < 0.001:
        return "<0.001 %"
    return f"{percent:.3g} %"


class Html(str):
    """Text that is markup already; every other text is escaped on its way into a page."""

    __slots__ = ()


def cell(value: Any) -> Html:
    """Return any value as markup: numbers formatted, nothing as a dash, text escaped.

    >>> cell("<b>"), cell(Html("<b>")), cell(1200), cell(None)
    ('&lt;b&gt;', '<b>', '1,200', '—')
    """
    if isinstance(value, Html):
        return value
    if value is None or isinstance(value, Real):
        return Html(number(value))
    return Html(escape(str(value)))


def shorten(text: str, n: int) -> str:
    """Return ``text`` on one line and in at most ``n`` characters, the middle left out.

    >>> shorten("total_charges_of_last_year", 16)
    'total_ch…st_year'
    """
    text = " ".join(text.split())
    return text if len(text) <= n else f"{text[: n - n // 2]}…{text[len(text) - (n // 2 - 1) :]}"
