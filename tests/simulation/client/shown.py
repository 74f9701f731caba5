"""What a page shows of people: who is online, who looks at a conversation, who types."""

from __future__ import annotations

from typing import Any


class Shown:
    """Built from what the page was told, and from one question when it opens."""

    def __init__(self) -> None:
        self.online: dict[str, None] | None = None
        """Users; None until the question is answered."""
        self.viewers: dict[str, list[str]] = {}
        """Of each conversation that is open."""
        self.typing: dict[str, dict[str, None]] = {}
        """Of each conversation the users who type; rooms and users stay in the order in which they came."""

    def answered(self, answer: dict[str, Any]) -> None:
        """Take the answer to `presence`."""
        if "online" in answer:
            self.online = dict.fromkeys(answer["online"])
        if "conversation_id" in answer:
            room = f"conversation:{answer['conversation_id']}"
            self.viewers[room] = answer["user_ids"]
            self.typing[room] = dict.fromkeys(answer["typing"])

    def hear(self, name: str, data: dict[str, Any]) -> None:
        """Take an event that may be of presence."""
        if name == "user:status":
            self._note(data["user_id"], data["status"] == "online")
        elif name == "user:statuses":
            for user in data["online"]:
                self._note(user, True)
            for user in data["offline"]:
                self._note(user, False)
        elif name == "conversation:viewers":
            self.viewers[f"conversation:{data['conversation_id']}"] = data["user_ids"]
        elif name == "user_typing":
            typing = self.typing.setdefault(f"conversation:{data['conversation_id']}", {})
            if data["typing"]:
                typing[data["user_id"]] = None
            else:
                typing.pop(data["user_id"], None)

    def forget(self, room: str) -> None:
        """Show nothing of a conversation any more."""
        self.viewers.pop(room, None)
        self.typing.pop(room, None)

    def _note(self, user: str, is_online: bool) -> None:
        if self.online is None:
            return
        if is_online:
            self.online[user] = None
        else:
            self.online.pop(user, None)
