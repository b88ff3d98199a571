"""What reading a record gives, and how a record is held against what it should be."""

import hashlib
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from daemon.alerts.forms.rejected import Rejected
from daemon.config.validation import complaints
from daemon.domain.alerts import Alert
from daemon.domain.values import Json

MAX_COMPLAINTS: Final = 5  #: about one payload

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Record:
    """An alert, and the key under which a second delivery of it is dropped."""

    alert: Alert
    dedup_key: str


def payload_key(form: str, payload: bytes) -> str:
    """The key of a payload that has none of its own: what is the same byte for byte is the same message."""
    return f"{form}:sha256:{hashlib.sha256(payload).hexdigest()}"


def record_of(model: type[Model], fields: Json) -> Model:
    """The fields as a record.

    Raises:
        Rejected: they do not fit; all that is wrong with the first of them.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = islice(complaints(error, model), MAX_COMPLAINTS)  # a payload may hold thousands of unknown fields
        raise Rejected("; ".join(complaint.sentence for complaint in first)) from None
