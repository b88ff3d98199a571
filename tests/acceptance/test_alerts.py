"""From the bus to incidents: outages of the broker and of the daemon, duplicates, joining, the latch, strangers."""

import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from daemon.app.offline import verify_audit
from daemon.config.settings import load_settings
from daemon.domain.alerts import AlertStatus
from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus, Key
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.site import Site, fqdn
from tests.realparts.waiting import eventually


def scom(server: str, **changes: object) -> str:
    """An alert as SCOM's connector publishes it."""
    body: dict[str, object] = {
        "Id": str(uuid.uuid4()),
        "Name": "POP.Protocol Health Set unhealthy (PopDeepTestMonitor/MSExchangePOP3BE) - POP does not work",
        "PrincipalName": server,
        "ResolutionState": 0,
        "LastModified": "2026-11-05T03:14:15Z",
        "RepeatCount": 0,
    }
    return json.dumps(body | changes)


def alerts(count: int, **statuses: int) -> Callable[[Store], Awaitable[bool]]:
    """Whether so many alerts are stored, and stand like this."""

    async def stand(store: Store) -> bool:
        ledger = await store.ledger()
        found = {name: number for name, number in ledger.alerts.items() if number}
        return ledger.stored == count and found == statuses

    return stand


async def test_a_broker_killed_in_the_middle_loses_no_alert_and_holds_up_no_ladder(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    site.lab.break_server("mbx4", Fault.RESTART_CURES)
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.until(has_incident, "the first incident is open")
    site.broker.save()  # what the daemon's session is, so that the broker knows it after its death
    site.broker.kill()
    await site.until_ended("mbx1")  # a ladder needs no broker
    site.broker.restart()
    async with site.messages() as heard:
        await site.alert("mbx4")
        await site.until_ended("mbx4")
        states = [f"exmedic/incidents/{(await site.incident(server)).id}" for server in ("mbx1", "mbx4")]
        await eventually(
            lambda: all(heard.on(topic) and heard.objects(topic)[-1]["status"] == "resolved" for topic in states),
            "the bus has heard how both ended",
        )
    assert await daemon.stop() == 0
    words = daemon.words()
    assert (words.count('"bus_down"'), words.count('"bus_up"')) == (1, 2), "logged once at its start, once at its end"
    await site.agrees()


async def has_incident(store: Store) -> bool:
    return bool(await store.incidents())


async def test_alerts_published_while_the_daemon_is_down_are_handled_after_its_start(site: Site) -> None:
    daemon = await site.daemon()
    assert await daemon.stop() == 0
    assert await site.broker.retained("exmedic/status") == b"offline"
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await site.alert("mbx1")
    await site.daemon()
    await site.until_ended("mbx1")
    assert site.effects("mbx1") == ["restart"]


async def test_a_killed_daemon_is_offline_by_its_last_will_and_online_again_after_its_start(site: Site) -> None:
    daemon = await site.daemon()
    async with site.messages() as heard:
        await eventually(lambda: heard.on("exmedic/status") == [b"online"], "online")
        daemon.kill()
        await eventually(lambda: heard.on("exmedic/status") == [b"online", b"offline"], "offline")
        await site.daemon()
        await eventually(lambda: heard.on("exmedic/status") == [b"online", b"offline", b"online"], "online again")


async def test_what_becomes_of_alerts_that_lead_to_no_ladder(site: Site) -> None:
    await site.daemon()
    async with site.messages() as heard:
        await site.alert("mail.elsewhere.example")
        await site.alert("cas1", monitor="OwaCtpMonitor", health_set="OWA")
        await site.alert("cas1", monitor="OwaCtpMonitor", health_set="OWA")
        await site.broker.publish("alerts/scom/x", scom("mbx3.contoso.lab", ResolutionState=255))
        maintenance = "POP.Protocol Health Set maintenance unhealthy (PopDeepTestMonitor/x) - planned"
        await site.broker.publish("alerts/scom/x", scom("mbx3.contoso.lab", Name=maintenance))
        await site.until(alerts(5, suppressed=5), "all are routed")
        await site.eventually(lambda: len(heard.objects("exmedic/escalations")) > 0, "it is told")
        (told,) = heard.objects("exmedic/escalations")
        assert (told["kind"], told["count"]) == ("unhandled", 2), "one page a server and day"
        assert f"- {fqdn('cas1')}: 2\n    OwaCtpMonitor (OWA)\n" in told["text"]
    reasons = [row.entry.message for row in await site.audit(AuditKind.ALERT_SUPPRESSED)]
    # What is routed at once has one row.
    assert list(dict.fromkeys(reason.partition("suppressed: ")[2] for reason in reasons)) == [
        "server mail.elsewhere.example is not in the inventory",
        "no runbook handles OwaCtpMonitor (OWA)",
        "closed at its source, and no incident is open",
        "a Health Set maintenance alert is never remediated",
    ]
    assert await site.incidents() == []
    assert site.lab.reads() == {}, "no server was contacted"
    assert site.lab.effects() == ()


async def test_the_same_change_of_a_scom_alert_is_one_alert_and_a_new_one_joins(site: Site) -> None:
    site.lab.break_server("mbx2", Fault.INCURABLE)
    await site.daemon()
    same = {"Id": "0e000000-0000-4000-8000-000000000001"}
    first = scom("MBX2.contoso.lab", **same)
    await site.broker.publish("alerts/scom/x", first)
    # Not the same bytes, and another spelling of the server: it is Id, LastModified, state and count that make it so.
    await site.broker.publish("alerts/scom/x", scom("mbx2.contoso.lab", Owner="somebody", **same))
    await site.broker.publish("alerts/scom/x", scom("MBX2.contoso.lab", RepeatCount=1, **same))
    await site.alert("MBX2")
    await site.until(alerts(3, joined=3), "three are stored")
    incident = await site.incident("mbx2")
    async with site.store() as store:
        assert [row.seen for row in await store.alerts_of(incident.id)] == [2, 1, 1]
        assert (await store.ledger()).imbalance == ""


async def test_two_thousand_alerts_of_one_server_are_one_incident_and_a_few_rows_of_joins(site: Site) -> None:
    site.lab.break_server("mbx2", Fault.INCURABLE)
    await site.daemon()
    for _ in range(20):
        await site.alert(*["mbx2"] * 100)
    await site.until(alerts(2000, joined=2000), "all are routed")
    await site.incident("mbx2")
    joins = await site.audit(AuditKind.ALERT_JOINED)
    assert len(joins) <= 20
    assert joins[-1].entry.fields["joined"] == 1000
    await site.agrees()


async def test_a_closed_alert_makes_an_incident_verify_again_and_the_latch_holds_until_it_is_healthy(
    site: Site,
) -> None:
    # The latch is looked at again after hours, so that what lifts it here is the alert that says that it is over.
    site.configure(latch_recheck=86400.0)
    site.lab.break_server("multi1", Fault.INCURABLE)
    await site.daemon()
    await site.alert("multi1")
    await site.until_ended("multi1")
    await site.alert("multi1")
    await site.until(alerts(2, joined=2), "the second alert has joined")
    incident = await site.incident("multi1")
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, True)
    done = site.effects_of(incident)
    asked = sum(site.lab.reads().values())
    await site.alert("multi1", closed=True)
    await site.eventually(lambda: sum(site.lab.reads().values()) > asked, "it verifies what the alert says")
    await site.until(lambda store: latched(store, incident.id, wanted=True), "it is still latched")
    site.lab.cure("multi1")
    site.pass_time(600)  # nobody of the daemon waits for it
    await site.eventually(lambda: site.lab.servers()[fqdn("multi1")]["unhealthy"] == [], "its monitors are healthy")
    await site.alert("multi1", closed=True)
    await site.until(lambda store: latched(store, incident.id, wanted=False), "the latch is lifted")
    assert site.effects_of(incident) == done, "nothing was done after the escalation"
    site.lab.break_server("multi1", Fault.RESTART_CURES)
    await site.alert("multi1")
    key = incident.key
    await site.until(lambda store: reopened(store, key), "a problem that returns is a new incident")


async def reopened(store: Store, key: Key) -> bool:
    return [i.status for i in await store.incidents() if i.key == key][:1] == [IncidentStatus.OPEN]


async def latched(store: Store, incident_id: str, *, wanted: bool) -> bool:
    incident = await store.incident(incident_id)
    return incident is not None and incident.latched is wanted and not incident.verify_requested


async def test_every_message_on_the_bus_tells_the_order_it_was_made_in(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    async with site.messages() as heard:
        await site.daemon()
        await site.alert("mbx1")
        await site.until_ended("mbx1")
        incident = await site.incident("mbx1")
        topic = f"exmedic/incidents/{incident.id}"
        await eventually(lambda: any(m["status"] == "resolved" for m in heard.objects(topic)), "resolved on the bus")
        ours = ("exmedic/incidents/", "exmedic/events")
        numbers = [json.loads(payload)["seq"] for on, payload in heard.all if on.startswith(ours)]
        assert numbers == list(range(1, len(numbers) + 1))
        events = [event for event in heard.objects("exmedic/events") if event["incident"] == incident.id]
    states = [(event.get("from"), event["to"]) for event in events]
    assert states == [
        (None, "verify"),
        ("verify", "restart"),
        ("restart", "reprobe"),
        ("reprobe", "undo.resolved"),
        ("undo.resolved", "resolved"),
    ]
    latest = json.loads(await site.broker.retained(topic))
    assert (latest["status"], latest["state"], latest["server"]) == ("resolved", "resolved", fqdn("mbx1"))
    assert datetime.fromisoformat(latest["ended_at"]) > datetime.fromisoformat(latest["opened_at"])


async def test_bad_input_is_rejected_with_its_reason_and_never_stops_the_consumer(site: Site) -> None:
    good = {
        "id": "x",
        "server": "mbx3",
        "health_set": "POP.Protocol",
        "monitor": "PopDeepTestMonitor",
        "raised_at": datetime.now(UTC).isoformat(),
    }
    bad: list[tuple[str, bytes | str, str]] = [
        ("native", json.dumps(good)[:-9], "not JSON"),
        ("native", b" " * 10_000_000, "has 10000000 bytes"),
        ("native", json.dumps({**good, "server": 7}), "server"),
        ("native", json.dumps({**good, "severity": "high"}), "severity"),
        ("native", '{"server": "mbx3", "server": "mbx4"}', "given twice"),
        ("native", b'{"server": "\xff\xfe"}', "id is missing"),
        ("native", json.dumps({**good, "server": "mbx3'; Restart-Computer mbx4 #"}), "must be a host name"),
        ("native", json.dumps({**good, "server": '"$(Stop-Computer)"'}), "must be a host name"),
        ("native", json.dumps({**good, "monitor": "Pop`nRestart"}), "must be a name"),
        ("native", "[" * 100_000, "not JSON"),
        ("native", "null", "not an object"),
        ("scom", scom("mbx3.contoso.lab", ResolutionState=4711), "ResolutionState must be a resolution state"),
        ("scom", json.dumps(good), "this is exmedic's own form"),
    ]
    topics = {"native": "alerts/exmedic/bad", "scom": "alerts/scom/bad"}
    daemon = await site.daemon()
    async with site.messages() as heard:
        await site.broker.publish_all([(topics[form], payload) for form, payload, _ in bad])
        # From last week and from the future: no source's clock decides anything, the server is asked.
        await site.alert("mbx3", raised_at="2026-11-01T00:00:00Z")
        await site.alert("mbx6", raised_at="2031-01-01T00:00:00Z")
        await site.until_ended("mbx3", "mbx6")
        await eventually(lambda: len(heard.on("exmedic/deadletter")) == len(bad), "every dead letter arrives")
        letters = heard.objects("exmedic/deadletter")
    for letter, (form, _payload, reason) in zip(letters, bad, strict=True):
        assert reason in letter["reason"]
        assert letter["topic"] == topics[form]
    async with site.store() as store:
        ledger = await store.ledger()
    assert ledger.alerts[AlertStatus.REJECTED] == len(bad)
    assert ledger.imbalance == ""
    assert site.lab.effects() == ()
    assert daemon.process.poll() is None
    verdict = await verify_audit(load_settings(site.config), journal=False)
    assert verdict.good
