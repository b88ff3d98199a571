"""No error of pywinrm, of what it stands on, or of its bad habits leaves the adapter as anything but its own `Stop`."""

import binascii
import http.client
import json
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from xml.parsers.expat import ExpatError

import pytest
import requests.exceptions
import requests_credssp.exceptions  # type: ignore[import-untyped]  # ships no types
import spnego.exceptions
import urllib3.exceptions
import winrm.exceptions
import winrm.transport
from winrm.protocol import Protocol

from daemon.adapters.winrm.attempt import Stop
from daemon.adapters.winrm.conversation import _translated

SECRET = "hunter2-in-an-error"
MODULES = (
    winrm.exceptions,
    requests.exceptions,
    urllib3.exceptions,
    spnego.exceptions,
    requests_credssp.exceptions,
    http.client,
)
VENDORS = {module.__name__.partition(".")[0] for module in MODULES}
#: What pywinrm raises without meaning to, where an answer is not what it expects.
HABITS = (
    StopIteration,
    AssertionError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    ValueError,
    UnicodeDecodeError,
    struct.error,
    binascii.Error,
    ET.ParseError,
    ExpatError,
    json.JSONDecodeError,
    OSError,
    PermissionError,
    TimeoutError,
    MemoryError,
    RecursionError,
)


def tree(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def vendor_errors() -> list[type[Exception]]:
    found: dict[str, type[Exception]] = {}
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning):
                for kind in tree(value):
                    if issubclass(kind, Exception) and kind.__module__.partition(".")[0] in VENDORS:
                        found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return [found[name] for name in sorted(found)]


def make(kind: type[Exception]) -> Exception:
    """An error of that type with a secret in it, whatever its constructor wants."""
    error = kind.__new__(kind)
    error.args = (SECRET, 500, SECRET)
    for name in ("reason", "response", "fault_code", "wsman_fault_code", "filename"):
        try:
            setattr(error, name, SECRET)
        except (AttributeError, TypeError):
            continue
    return error


def test_the_walk_finds_the_trees_it_is_about() -> None:
    names = {kind.__name__ for kind in vendor_errors()}
    expected = {"InvalidCredentialsError", "WSManFaultError", "ReadTimeout", "SSLError", "SpnegoError", "ProtocolError"}
    assert expected <= names
    assert len(names) > 80


@pytest.mark.parametrize("kind", [*vendor_errors(), *HABITS], ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_becomes_a_stop_that_names_the_request_and_no_secret(kind: type[Exception]) -> None:
    error = make(kind)
    if kind is winrm.exceptions.WinRMError:  # its own texts are constants
        error.args = ("requested auth method is kerberos, but pykerberos is not installed",)
    if isinstance(error, winrm.exceptions.WSManFaultError):
        error.fault_code, error.wsman_fault_code = "s:Receiver", None
    with pytest.raises(Stop) as stopped, _translated("Create"):
        raise error
    assert stopped.value.detail.startswith("Create: ")
    assert SECRET not in stopped.value.detail
    assert stopped.value.__cause__ is None


def test_what_is_not_an_error_passes() -> None:
    with pytest.raises(KeyboardInterrupt), _translated("Create"):
        raise KeyboardInterrupt


def test_wrong_credentials_are_not_tried_again_so_that_no_account_is_locked() -> None:
    for error in (
        winrm.exceptions.InvalidCredentialsError("x"),
        requests_credssp.exceptions.AuthenticationException("x"),
    ):
        with pytest.raises(Stop) as stopped, _translated("Create"):
            raise error
        assert not stopped.value.again


def test_the_one_private_name_of_pywinrm_that_is_used_still_exists_and_is_still_used() -> None:
    assert winrm.__version__ == "0.5.0"
    assert "_send_message_request" in winrm.transport.Transport.send_message.__code__.co_names
    assert "_send_message_request" in winrm.transport.Transport.setup_encryption.__code__.co_names
    assert {"transport", "operation_timeout_sec"} <= set(vars(Protocol("http://127.0.0.1:1/wsman", "ntlm", "u", "p")))
