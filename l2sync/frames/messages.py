"""Which message each kind of frame carries."""

from .bulk import Data, Done, Lock, Repair, Unlockall, Want
from .decision import Decision
from .errors import RemoteError
from .header import Kind
from .inquiry import Query, Report
from .membership import Ack, Ban, Base, Bye, Die, Hello, Ping, Register, Rej, Roll, Welcome
from .reach import Chain, Part, Probe, Probed, Tally
from .updtree import Updtree

AnyBody = (
    Hello
    | Welcome
    | Register
    | Updtree
    | Lock
    | Unlockall
    | Ack
    | Ping
    | Rej
    | Die
    | Bye
    | Data
    | Want
    | Repair
    | Done
    | Query
    | Report
    | Decision
    | Ban
    | Base
    | Probe
    | Probed
    | Tally
    | Chain
    | Part
    | Roll
)

MESSAGES: dict[Kind, type[AnyBody]] = {
    Kind.HELLO: Hello,
    Kind.WELCOME: Welcome,
    Kind.REGISTER: Register,
    Kind.UPDTREE: Updtree,
    Kind.LOCK: Lock,
    Kind.UNLOCKALL: Unlockall,
    Kind.ACK: Ack,
    Kind.PING: Ping,
    Kind.REJ: Rej,
    Kind.DIE: Die,
    Kind.BYE: Bye,
    Kind.DATA: Data,
    Kind.WANT: Want,
    Kind.REPAIR: Repair,
    Kind.DONE: Done,
    Kind.QUERY: Query,
    Kind.REPORT: Report,
    Kind.DECISION: Decision,
    Kind.BAN: Ban,
    Kind.BASE: Base,
    Kind.PROBE: Probe,
    Kind.PROBED: Probed,
    Kind.TALLY: Tally,
    Kind.CHAIN: Chain,
    Kind.PART: Part,
    Kind.ROLL: Roll,
}


def parse_message(kind: int, body: bytes) -> AnyBody:
    """Read a body; that of a streamed kind without prefix and put together.

    Raises RemoteError: "malformed", "unknown_kind".
    """
    try:
        message = MESSAGES[kind]  # type: ignore[index]  # an IntEnum's member equals its number
    except KeyError:
        raise RemoteError("unknown_kind", str(kind)) from None
    return message.parse(body)
