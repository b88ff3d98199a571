"""Why the probe fails: what neither a move nor a reboot cures, a monitoring mailbox's logon or a certificate."""

import re

from daemon.domain.verdicts import Allow, CannotTell, Refuse, Verdict
from daemon.exchange.answers import same_server
from daemon.remediation.actions.preconditions.facts import Facts

#: Words in a probe's own reason (StateAttribute1), and what they blame.
LOGON = frozenset({"auth", "authentication", "logon", "login", "monitoring"})
CERTIFICATE = frozenset({"tls", "ssl", "certificate", "certificates", "cert", "negotiation", "negotiate", "handshake"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  #: TlsNegotiation is two
_LIMIT = 200  #: characters of a reason that are looked at


def blames(reason: str) -> str:
    """What the reason of a failing probe blames that is not cured on the server; empty for anything else."""
    words = {word.lower() for word in _WORD.findall(reason[:_LIMIT])}
    if words & LOGON:
        return "the logon of the monitoring mailbox: it may be locked or corrupt, or its password out of step"
    if words & CERTIFICATE:
        return (
            "the certificate, or the negotiation of TLS: a new one may be bound without X509CertificateName being set"
        )
    return ""


def cause_on_the_server(facts: Facts) -> Verdict:
    """The probe's own reason blames neither the logon of its mailbox nor the certificate."""
    if not facts.timing.heed_reason:
        return Allow(figures={"heed_reason": False})
    blamed = blames(facts.probe_reason)
    if blamed:
        reason = (
            f"the probe on {facts.server.name} fails for the reason {facts.probe_reason[:_LIMIT]!r}, which is "
            f"{blamed}; no move or reboot cures that"
        )
        return Refuse(reason=reason, figures={"probe_reason": facts.probe_reason[:_LIMIT]})
    return Allow(figures={"probe_reason": facts.probe_reason[:_LIMIT]} if facts.probe_reason else {})


def certificate_valid(facts: Facts) -> Verdict:
    """The certificate that the POP settings name is on the server and valid now, by the server's own clock."""
    name, settings = facts.server.name, facts.pop
    if not facts.timing.heed_reason:
        return Allow(figures={"heed_reason": False})
    if settings is None or not same_server(settings.server, name):
        return CannotTell(reason=f"no answer tells the POP settings of {name}")
    about = settings.certificate
    if about is None:
        return Allow(figures={"certificate": "not told"})
    figures = {"certificate": about.name, "valid_until": str(about.valid_until or "")}
    todo = f"no move or reboot cures that; see Get-ExchangeCertificate and Set-PopSettings -Server {name}"
    if not about.found:
        reason = f"X509CertificateName of POP on {name} is {about.name}, and it has no such certificate; {todo}"
        return Refuse(reason=reason, figures=figures)
    if about.valid_until is not None and about.valid_until <= facts.clock:
        reason = (
            f"the certificate {about.name} of POP on {name} expired at {about.valid_until:%Y-%m-%d %H:%M} UTC; {todo}"
        )
        return Refuse(reason=reason, figures=figures)
    if about.valid_from is not None and about.valid_from > facts.clock:
        since = f"{about.valid_from:%Y-%m-%d %H:%M} UTC"
        return Refuse(
            reason=f"the certificate {about.name} of POP on {name} is valid only from {since}; {todo}", figures=figures
        )
    return Allow(figures=figures)
