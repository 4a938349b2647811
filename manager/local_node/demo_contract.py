# { "Depends": "py-genlayer:test" }

"""An example contract: a guestbook."""

from genlayer import *


class Guestbook(gl.Contract):
    """Guests sign and everybody reads."""

    title: str
    owner: Address
    lines: DynArray[str]
    visits: TreeMap[Address, u32]

    def __init__(self, title: str):
        self.title = title
        self.owner = gl.message.sender_address

    @gl.public.write
    def sign(self, line: str) -> int:
        """Add a line; returns how often the sender has signed."""
        if not line:
            raise gl.vm.UserError("write something")
        guest = gl.message.sender_address
        self.lines.append(line)
        self.visits[guest] = self.visits.get(guest, 0) + 1
        print(f"{guest} signed")
        return self.visits[guest]

    @gl.public.view
    def read(self) -> dict:
        """Return the title, the owner, the lines and the visits."""
        return {
            "title": self.title,
            "owner": self.owner,
            "lines": list(self.lines),
            "visits": {guest.as_hex: count for guest, count in self.visits.items()},
        }


# The checkers know no `genlayer`: it exists inside GenVM only.
# mypy: ignore-errors
# ruff: noqa: F403, F405
