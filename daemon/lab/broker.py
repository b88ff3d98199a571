"""The embedded MQTT broker of the lab and the demo: rumqttd from the package iotcore, in a child process.

The child ends when its parent does: it reads a pipe that the parent holds open. It keeps nothing on disk.
`python -m daemon.lab.broker PORT` runs one in the foreground.
"""

import socket
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import iotcore
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from daemon.domain.errors import OperatorError

# iotcore's keyword arguments give an MQTT 3.1.1 listener, at which an MQTT 5 client waits for ever.
_CONFIGURATION = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = {max_payload}
    max_inflight_count = 100
    dynamic_filters = false
"""
_PORTS_TO_TRY = 5  # another process may take a free port between our asking and the broker's binding
_MAX_PAYLOAD = 16 << 20  # bytes: a 10 MB payload must reach the daemon, which has to survive it


class EmbeddedBroker:
    """An MQTT 5 broker on 127.0.0.1; on a free port unless one is given."""

    def __init__(self, port: int | None = None) -> None:
        self._ports_to_try = 1 if port else _PORTS_TO_TRY
        self._directory = tempfile.TemporaryDirectory(prefix="exmedic-broker-")
        self._listen_on(port or _free_port())

    def _listen_on(self, port: int) -> None:
        self.port = port
        configuration = Path(self._directory.name) / "rumqttd.toml"
        configuration.write_text(_CONFIGURATION.format(port=port, max_payload=_MAX_PAYLOAD), encoding="utf-8")
        self._broker = iotcore.Broker(config_path=str(configuration))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; it takes connections when this returns.

        Raises:
            OperatorError: the port is taken, or the broker did not come up.
        """
        attempts = Retrying(
            stop=stop_after_attempt(self._ports_to_try),
            retry=retry_if_exception_type((OSError, RuntimeError)),
            before_sleep=lambda _: self._listen_on(_free_port()),
            reraise=True,
        )
        try:
            attempts(self._start_once)
        except (OSError, RuntimeError) as error:
            self.stop()
            raise OperatorError(f"The embedded broker cannot listen on 127.0.0.1:{self.port}: {error}.") from error

    def _start_once(self) -> None:
        self._broker.start()

    def stop(self) -> None:
        """Stop it and free the port. Safe to call twice."""
        self._broker.stop()
        self._directory.cleanup()

    def serve(self) -> None:
        """Run it in this process until interrupted."""
        self._broker.run_forever()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    EmbeddedBroker(int(sys.argv[1])).serve()
