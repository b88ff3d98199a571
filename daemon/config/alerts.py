"""The settings of `[alerts]`: what is made of what sources say."""

from typing import Annotated

from pydantic import Field

from daemon.config.fields import Name, Section

State = Annotated[int, Field(strict=True, ge=1, le=253)]  # 0 is New; 254 and 255 mean that it is over


class AlertSettings(Section):
    """What is made of what a source says of an alert. States are SCOM's resolution states."""

    taken_states: tuple[State, ...] = (247, 248, 249)  #: Awaiting Evidence, Assigned to Engineering, Acknowledged
    no_owners: tuple[Name, ...] = ()  #: owners that are no human; letters may be large or small
    undo_when_taken: bool = Field(default=False, strict=True)  #: put back what a ladder has changed, before it stops
    server_label: Name = "instance"  #: of Alertmanager's alerts; a port behind the name is read over
    health_set_label: Name = "health_set"
    monitor_label: Name = "monitor"
