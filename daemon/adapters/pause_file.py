"""The kill switch: files. While one exists, or cannot be looked for, no effect starts on what it is about.

- The pause file itself pauses everything: for whoever pauses by hand.
- In the directory beside it, of its name with `.d` at the end, `exmedic pause` puts a file for each order, whether a
  daemon answers or not (`daemon.adapters.pause_orders`). By hand, an entry named after a server of the inventory pauses
  that server, and `dag.NAME` a DAG; one that names neither pauses everything: whoever made it wanted something to stop.
- In the one with `.ordered` at the end the daemon keeps what it knows as ordered. That stands until it is resumed, or
  its time is over, whatever becomes of the other files. What was made by hand ends when it is taken away.

Resuming is a local act.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from daemon.adapters import pause_orders
from daemon.adapters.pause_orders import OF_THE_DAEMON, OPEN_TO_THE_GROUP, Order, entry_of, parts_of, shown
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import _DAG, EVERYTHING, NO_TERMS, SYSTEM_TIME, Standing, Terms, covered, reason_for, scope_of
from daemon.runtime.threads import in_own_thread

OF_NOBODY = "00000000"  #: the id of orders that have none, such as those from the bus: one for each scope


class PauseFile:
    """The kill switch at `path`. Threads ask it before they send; `pause` waits for those that are sending."""

    def __init__(self, path: Path, inventory: Inventory, now: Callable[[], datetime] = SYSTEM_TIME) -> None:
        self.path = path
        self.directory = path.with_name(path.name + ".d")
        self.ordered = path.with_name(path.name + ".ordered")
        self._inventory = inventory
        self._now = now
        self._latched: dict[str, str] = {}  # pauses that could not be written, or not yet
        self._known: dict[str, Order] = {}  # what is in `ordered`, or was: taking it away there ends nothing
        self._knowing = threading.Lock()  # never held while something is written: whoever asks why waits for no disk
        self._sending: Counter[str] = Counter()  # by server
        self._changed = threading.Condition()

    def prepare(self) -> None:
        """Make the directories as they should be: the group may pause by the one, and only the daemon by the other.

        Raises:
            OSError: one cannot be made so; what is there pauses all the same.
        """
        pause_orders.prepare(self.directory, OPEN_TO_THE_GROUP)
        pause_orders.prepare(self.ordered, OF_THE_DAEMON)

    def reason(self, server: str = EVERYTHING) -> str | None:
        """See `ports.KillSwitch.reason`."""
        return reason_for(self.standing(), self._inventory, server)

    def standing(self) -> Mapping[str, str]:
        """See `ports.KillSwitch.standing`."""
        standing: dict[str, str] = {}
        for order in self.orders():
            if not order.over:
                standing.setdefault(order.scope, order.why)
        return standing

    def orders(self) -> Sequence[Standing]:
        """See `ports.KillSwitch.orders`. Those that are known as ordered come first."""
        found = [Standing(scope=scope, why=why, entry="") for scope, why in dict(self._latched).items()]
        kept, unreadable = self._listed(self.ordered)
        with self._knowing:
            for entry in kept - self._known.keys():
                if (order := pause_orders.read(self.ordered / entry)) is not None:
                    self._known[entry] = order
            known = dict(self._known)
        put, also_unreadable = self._listed(self.directory)
        found += [self._standing(self.ordered, *each, ordered=True, kept=each[0] in kept) for each in known.items()]
        for entry in sorted(put - known.keys()):
            if (order := pause_orders.read(self.directory / entry)) is not None:
                found.append(self._standing(self.directory, entry, order))
        found += [Standing(scope=EVERYTHING, why=why, entry="") for why in (*unreadable, *also_unreadable)]
        return [*found, *self._whole()]

    def _whole(self) -> Iterator[Standing]:
        """That everything is paused, by the pause file itself."""
        order = pause_orders.read(self.path)
        what: dict[str, Any] = {"scope": EVERYTHING, "entry": self.path.name}
        if order is not None:
            yield Standing(**what, why=order.why, since=order.since, terms=Terms(uid=order.terms.uid))
        elif not self.path.parent.is_dir():
            # Not there, or its directory is not: only the first means "not paused".
            yield Standing(**what, why=f"the directory of the pause file {self.path} is missing")

    @staticmethod
    def _listed(directory: Path) -> tuple[set[str], tuple[str, ...]]:
        """The entries of a directory, and why everything is paused if it cannot be read."""
        try:
            return set(os.listdir(directory)), ()  # noqa: PTH208 - names are what is wanted
        except FileNotFoundError:
            if not directory.is_symlink():  # one that leads nowhere: what would be there cannot be told
                return set(), ()
            why = "No such file or directory"
        except OSError as error:
            why = str(error.strerror)
        return set(), (f"the directory {directory} cannot be read: {why}",)

    def _standing(
        self, directory: Path, entry: str, order: Order, *, ordered: bool = False, kept: bool = False
    ) -> Standing:
        scope, why = self._meant(directory, entry, order.why)
        over = order.terms.until is not None and order.terms.until <= self._now()
        return Standing(
            scope=scope,
            why=why,
            entry=entry,
            terms=order.terms,
            since=order.since,
            over=over,
            ordered=ordered,
            kept=kept,
        )

    def _meant(self, directory: Path, entry: str, why: str) -> tuple[str, str]:
        """The scope of an entry in a directory, and why."""
        named, order = parts_of(entry)
        if order and named == EVERYTHING:
            return EVERYTHING, why
        server, dag = (named, "") if self._inventory.find(named) else ("", named.removeprefix(_DAG))
        scope = scope_of(self._inventory, server, dag) if server or named.startswith(_DAG) else None
        if scope:
            return scope, why
        name = str(directory / entry).encode("utf-8", "backslashreplace").decode()
        return EVERYTHING, f"{name} names no server of the inventory and no DAG (dag.NAME), so it pauses everything"

    @contextmanager
    def permit(self, server: str) -> Iterator[bool]:
        """See `ports.KillSwitch.permit`."""
        with self._changed:
            # Asked under the lock: after `pause` has written the file, nobody passes here any more.
            allowed = self.reason(server) is None
            self._sending[server] += allowed
        try:
            yield allowed
        finally:
            with self._changed:
                self._sending[server] -= allowed
                self._changed.notify_all()

    def order(self, reason: str, scope: str, terms: Terms) -> Path:
        """Order a pause without the daemon: put a file where it, or the next one, finds it; returns the file.

        Raises:
            OSError: it cannot be written.
        """
        entry = entry_of(scope, terms.id)
        text = pause_orders.written(Order(why=shown(reason), terms=terms, since=self._now()))
        try:
            pause_orders.create(self.directory, entry, text)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.directory / entry)) from error
        return self.directory / entry

    def pause(self, reason: str, scope: str = EVERYTHING, terms: Terms = NO_TERMS) -> None:
        """Know a pause as ordered, then wait until no effect is just being sent there. After it returns, none starts.

        Raises:
            OSError: the file cannot be written. It is paused all the same, until `resume` or the end of this process.
        """
        order = Order(why=shown(reason), terms=terms if terms.id else replace(terms, id=OF_NOBODY), since=self._now())
        with self._changed:
            self._latched[scope] = order.why
            try:
                self._keep(entry_of(scope, order.terms.id), order)
                # From here on the file decides, and not this process.
                del self._latched[scope]
            finally:
                self._changed.wait_for(lambda: not self._sends_in(scope))

    async def engage(self, reason: str, scope: str = EVERYTHING, terms: Terms = NO_TERMS) -> None:
        """`pause` in a thread of its own: it waits for those that are sending, and for nobody else.

        Raises:
            OSError: as `pause`.
        """
        await in_own_thread(partial(self.pause, reason, scope, terms))

    async def keep(self, order: Standing) -> None:
        """See `ports.KillSwitch.keep`."""
        await in_own_thread(partial(self._keep_standing, order))

    def _keep_standing(self, order: Standing) -> None:
        with self._changed:
            if any(each.entry == order.entry for each in self.orders()):
                self._keep(order.entry, Order(why=order.why, terms=order.terms, since=order.since))

    def _keep(self, entry: str, order: Order) -> None:
        """On the disk when it returns, in the place of what was known by that name."""
        path = self.ordered / entry
        try:
            pause_orders.replace(self.ordered, entry, pause_orders.written(order), self.path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        with self._knowing:
            self._known[entry] = order

    def _sends_in(self, scope: str) -> bool:
        about = None if scope == EVERYTHING else covered(self._inventory, scope)
        return any(number and (about is None or server in about) for server, number in self._sending.items())

    async def drop(self, order: Standing) -> None:
        """See `ports.KillSwitch.drop`."""
        await in_own_thread(partial(self._drop_alone, order))

    def _drop_alone(self, order: Standing) -> None:
        with self._changed:
            self._drop(order)

    def _drop(self, order: Standing) -> None:
        # What only the daemon may take away goes first: who may not, ends nothing.
        with self._knowing:
            _remove(self.ordered / order.entry)
            self._known.pop(order.entry, None)
        if order.entry == self.path.name and order.by_hand:
            _remove(self.path)
        _remove(self.directory / order.entry)

    def resume(self, scope: str = EVERYTHING) -> bool:
        """Take away all that pauses a scope; False when there was nothing.

        Raises:
            OSError: it cannot be removed.
        """
        with self._changed:
            about = [each for each in self.orders() if each.scope == scope and each.entry]
            for each in about:
                self._drop(each)
            return self._latched.pop(scope, None) is not None or any(not each.over for each in about)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
