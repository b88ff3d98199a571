"""From bytes to JSON: the encodings that routes from SCOM leave behind, and reasons that say what to change there."""

import json
import re
from typing import Any, Final

from pydantic_core import from_json

from daemon.alerts.forms.rejected import Rejected

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_PLACE = re.compile(r"line (\d+) column (\d+)$")
_ONE_LINE = re.compile(r'\s*(?:"[^"\r\n]{0,100}"\s*:.*|[\[\]{}]+|"[^"]*"),?\s*')
_POWERSHELL_LIST = re.compile(r"\s*[A-Za-z]\w{0,60}\s+:\s")


def text_of(payload: bytes) -> str:
    """The payload as text, without byte order mark and the NULs at its end; empty where there is nothing in it.

    Raises:
        Rejected: its encoding is not known.
    """
    encoding, body = _encoding(payload)
    if encoding.startswith("utf-16") and len(body) % 2:
        body = body.removesuffix(b"\0")  # a program that ends a text with one NUL knows nothing of UTF-16
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise Rejected(f"the payload begins as {encoding.upper()} and is none at byte {error.start}") from None
        text = _windows(payload)
    return text.rstrip("\0").strip()


def _encoding(payload: bytes) -> tuple[str, bytes]:
    for mark, encoding in _MARKS:
        if payload.startswith(mark):
            return encoding, payload[len(mark) :]
    # JSON begins with a letter of ASCII, so where there is no mark the zeros in every other byte tell.
    first, second = payload[:1], payload[1:2]
    if second == b"\0" and first != b"\0":
        return "utf-16-le", payload
    return ("utf-16-be" if first == b"\0" and second not in (b"", b"\0") else "utf-8"), payload


def _windows(payload: bytes) -> str:
    try:
        return payload.decode("cp1252")
    except UnicodeDecodeError as error:
        raise Rejected(
            f"the payload is neither UTF-8 nor UTF-16 nor Windows-1252: byte {error.start}; send it as UTF-8"
        ) from None


def json_of(text: str) -> Any:  # noqa: ANN401 - any JSON
    """The JSON in a text.

    Raises:
        Rejected: it is none; the reason says where, and what to change at its source where that can be told.
    """
    try:
        # Before the standard library's reader: it stops at 200 levels, at NaN and at half a surrogate pair, and says
        # where; json would run out of stack at the first and hand on the others.
        from_json(text, allow_inf_nan=False)
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except ValueError as error:
        raise Rejected(_why(text, str(error))) from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of two values would count is left open by RFC 8259, section 4: two readers may see two alerts.
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise Rejected(f"the field {json.dumps(name[:100])} is given twice")
        fields[name] = value
    return fields


def _why(text: str, error: str) -> str:
    """What to change at the source; what the reader says where nothing better is known."""
    for begins, advice in _OTHER:
        if text.startswith(begins):
            return advice
    if _POWERSHELL_LIST.match(text):
        return "this is a list as PowerShell shows it: publish what ConvertTo-Json makes of the alert"
    if "\n" not in text and len(text) <= _A_LINE and _ONE_LINE.fullmatch(text):
        return "one line of several: mosquitto_pub -l sends each line as a message; use -f FILE or -s instead"
    if "invalid escape" in error:
        place = _PLACE.search(error)
        line = f" of line {place[1]}" if place and place[1] != "1" else ""
        return f"the character \\ at column {place[2] if place else '?'}{line} must be written twice"
    advice = next((advice for sign, advice in _ADVICE if sign in error), "")
    return f"the payload is not JSON: {error}{advice}"


_A_LINE: Final = 64 * 1024

#: What is published by mistake, by how it begins.
_OTHER: Final = (
    ("<", "this is XML: publish the alert as JSON, as ConvertTo-Json writes it"),
    ("#< CLIXML", "this is XML of PowerShell: publish the alert as JSON, as ConvertTo-Json writes it"),
    ("@{", "this is PowerShell's text of an object: publish what ConvertTo-Json makes of it, with a -Depth"),
)

#: What to do about what the reader says.
_ADVICE: Final = (
    ("control character", "; within a text a line break must be written \\n: let ConvertTo-Json write it"),
    ("hex escape", "; a letter is cut in halves there, \\ud8.. without its \\udc..: do not cut texts there"),
    ("trailing characters", "; something follows the alert: publish one a message, or several in an array"),
    ("EOF", "; its end is missing: something on its way cut it, or sent it line by line"),
    ("expected `,`", '; a quote within a text must be written \\"'),
    ("expected value at line 1 column 1", "; publish what ConvertTo-Json makes of the alert"),
    ("key must be a string", "; names and texts are in double quotes"),
)
