"""The two ways in which handling frames can fail: by our own misuse, or by what the other side sent."""


class LocalError(Exception):
    """This program asked for what cannot be put in a frame, or handed in keys that are none."""


class RemoteError(Exception):
    """What arrived is no frame or no message of ours; it is to be counted and dropped, and never fatal.

    reason: a short snake_case word, the name of the counter: "short", "magic", "version", "unknown_kind",
    "wrong_cluster", "unknown_key", "forged", "malformed", "bomb", "oversized".
    detail: for people, may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
