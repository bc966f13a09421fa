"""Treadle's on-disk queue. FORMAT.md beside this package is its public contract."""

from treadle_spool.clock import now, uptime
from treadle_spool.descriptor import EMPTY, Accepted, Descriptor, JobOptions, Origin
from treadle_spool.drop import DropFolder
from treadle_spool.drop_names import is_hidden
from treadle_spool.drop_outcomes import Faulty, Found, Large, LeftAlone, NotYet, Refused, Taken
from treadle_spool.errors import (
    InvalidDescriptor,
    NameTaken,
    NotASpool,
    SpoolError,
    SpoolInUse,
    UnknownJob,
    UnsafeName,
)
from treadle_spool.names import check_name, new_id
from treadle_spool.owner import Owner
from treadle_spool.reading import decode_from_client
from treadle_spool.retention import Expired, Retention, collect, expired
from treadle_spool.spool import Spool
from treadle_spool.status import AttemptRecord, LiveAttempt, Reason, State, Status

__all__ = [
    "EMPTY",
    "Accepted",
    "AttemptRecord",
    "Descriptor",
    "DropFolder",
    "Expired",
    "Faulty",
    "Found",
    "InvalidDescriptor",
    "JobOptions",
    "Large",
    "LeftAlone",
    "LiveAttempt",
    "NameTaken",
    "NotASpool",
    "NotYet",
    "Origin",
    "Owner",
    "Reason",
    "Refused",
    "Retention",
    "Spool",
    "SpoolError",
    "SpoolInUse",
    "State",
    "Status",
    "Taken",
    "UnknownJob",
    "UnsafeName",
    "check_name",
    "collect",
    "decode_from_client",
    "expired",
    "is_hidden",
    "new_id",
    "now",
    "uptime",
]
