"""The WS-Management envelopes that a lab endpoint reads and writes: only what the shell protocol of WinRM needs.

Facts: Microsoft, [MS-WSMV] sections 3.1.4 (Create, Command, Send, Receive, Signal, Delete) and 2.2.4.43 (WSManFault).
"""

import re
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.sax.saxutils import escape

_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
_CMD = f"{_SHELL}/cmd"

SHELL_LOST = 2150858843
QUOTA_EXCEEDED = 2150859174
OPERATION_TIMED_OUT = 2150858793
INVALID_REQUEST = 2150858752

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_UNITS = (86400, 3600, 60, 1)


class WsmanFault(Exception):  # noqa: N818 - the protocol's word
    """A SOAP fault with WinRM's own code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `action` is its last word (Create, Command ...), `body` its body's only element, if it has one."""

    action: str
    message_id: str
    shell_id: str
    operation_timeout: float  #: real seconds
    body: ET.Element | None

    def text(self, name: str) -> str:
        """The text of the first shell element of that name within the body; empty when there is none."""
        found = None if self.body is None else self.body.find(f".//{{{_SHELL}}}{name}")
        return "" if found is None or found.text is None else found.text

    def texts(self, name: str) -> list[str]:
        """The texts of all shell elements of that name within the body."""
        return [] if self.body is None else [found.text or "" for found in self.body.iter(f"{{{_SHELL}}}{name}")]

    def attribute(self, element: str, name: str) -> str:
        """An attribute of the body's element of that name, which may be the body's only element itself."""
        found = None if self.body is None else next(self.body.iter(f"{{{_SHELL}}}{element}"), None)
        return "" if found is None else found.get(name, "")


def parse(document: bytes) -> Request:
    """Read a request.

    Raises:
        WsmanFault: it is no WS-Management request.
    """
    try:
        # Bodies are limited, and expat 2.4.1 and later limits the expansion of entities.
        root = ET.fromstring(document)  # noqa: S314
    except ET.ParseError as error:
        raise WsmanFault(INVALID_REQUEST, f"The request is no XML: {error}.") from None
    header = root.find(f"{{{_SOAP}}}Header")
    body = root.find(f"{{{_SOAP}}}Body")
    if header is None or body is None:
        raise WsmanFault(INVALID_REQUEST, "The request has no SOAP header or no body.")
    selectors = header.iter(f"{{{_WSMAN}}}Selector")
    shell_id = next((node.text or "" for node in selectors if node.get("Name") == "ShellId"), "")
    return Request(
        action=(header.findtext(f"{{{_ADDRESSING}}}Action") or "").rpartition("/")[2],
        message_id=header.findtext(f"{{{_ADDRESSING}}}MessageID") or "",
        shell_id=shell_id,
        operation_timeout=duration(header.findtext(f"{{{_WSMAN}}}OperationTimeout") or "", 60.0),
        body=next(iter(body), None),
    )


def duration(text: str, default: float) -> float:
    """Seconds of an xs:duration such as PT20S; the default when it is none."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return default
    return sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS, strict=True) if part)


def envelope(action: str, body: str, relates_to: str) -> bytes:
    """An answer around a body."""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{_SOAP}" xmlns:a="{_ADDRESSING}" xmlns:w="{_WSMAN}"'
        f' xmlns:x="{_TRANSFER}" xmlns:rsp="{_SHELL}"><s:Header><a:Action>{escape(action)}</a:Action>'
        f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID><a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def answer(request: Request, body: str) -> bytes:
    """The answer to a request."""
    place = _TRANSFER if request.action in ("Create", "Delete") else _SHELL
    return envelope(f"{place}/{request.action}Response", body, request.message_id)


def fault(problem: WsmanFault, relates_to: str, machine: str) -> bytes:
    """The answer that carries a fault."""
    subcode = "w:TimedOut" if problem.code == OPERATION_TIMED_OUT else "w:InternalError"
    text = escape(problem.message)
    body = (
        f"<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="{_FAULT}"'
        f' Code="{problem.code}" Machine="{escape(machine)}"><f:Message>{text}</f:Message></f:WSManFault></s:Detail>'
        "</s:Fault>"
    )
    return envelope(f"{_ADDRESSING}/fault", body, relates_to)


def created(shell_id: str) -> str:
    """The body that answers Create."""
    return (
        f"<x:ResourceCreated><a:Address>http://localhost/wsman</a:Address><a:ReferenceParameters>"
        f'<w:ResourceURI>{_CMD}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector>'
        f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
    )


def command_accepted(command_id: str) -> str:
    """The body that answers Command."""
    return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"


def received(command_id: str, streams: dict[str, str], exit_code: int) -> str:
    """The body that answers Receive once the command has ended; streams are base64."""
    parts = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{command_id}">{content}</rsp:Stream>'
        f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"></rsp:Stream>'
        for name, content in streams.items()
    )
    return (
        f'<rsp:ReceiveResponse>{parts}<rsp:CommandState CommandId="{command_id}"'
        f' State="{_SHELL}/CommandState/Done"><rsp:ExitCode>{exit_code}</rsp:ExitCode></rsp:CommandState>'
        "</rsp:ReceiveResponse>"
    )
