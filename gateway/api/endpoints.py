"""The endpoints of the API: path, parameters, answer and effect of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.api import models
from gateway.api.models import Model
from gateway.api.reading import invalid
from gateway.api.rooms import room_now
from gateway.errors import Refused
from gateway.presence.online import online
from gateway.sockets.members import Members
from publisher import InvalidEvent, PublishError
from publisher.calls import PUBLISHED
from publisher.envelope import Envelope, Options
from publisher.verbs import Verbs


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path. `do` gets the checked request, or a list of them, and returns the answer."""

    method: Literal["GET", "POST"]
    path: str
    takes: type[Model]
    gives: type[Model]
    do: Callable[[Any], Awaitable[Any]]
    several: bool = False
    """Whether an array of requests is accepted, too; its answer is an array."""


class Envelopes(Verbs[Envelope]):
    """The publisher's verbs; they check their arguments and return an envelope, without sending it."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def _send(self, envelope: Envelope) -> Envelope:
        return envelope


class Endpoints:
    """The HTTP API's endpoints in one replica, one method each."""

    def __init__(self, members: Members) -> None:
        self._members = members
        verbs = Envelopes(Options(max_payload_bytes=members.settings.max_payload_bytes))
        self.all = [
            Endpoint(
                "POST", "/v1/events", models.Event, models.Receipt, self._publishing(verbs.emit), several=True
            ),
            self._verb("/v1/message_new", models.MessageNew, verbs.message_new),
            self._verb("/v1/message_status", models.MessageStatus, verbs.message_status),
            self._verb("/v1/unread_update", models.UnreadUpdate, verbs.unread_update),
            self._verb("/v1/notification_new", models.NotificationNew, verbs.notification_new),
            self._verb("/v1/campaign_progress", models.CampaignProgress, verbs.campaign_progress),
            self._verb("/v1/disconnect", models.Disconnect, verbs.disconnect_user),
            self._verb("/v1/leave", models.Leave, verbs.leave_room),
            Endpoint("GET", "/v1/presence", models.PresenceQuery, models.Presence, self._presence),
            Endpoint("GET", "/v1/rooms/{room}", models.RoomQuery, models.RoomNow, self._room),
        ]

    def _verb(self, path: str, takes: type[Model], verb: Callable[..., Envelope]) -> Endpoint:
        return Endpoint("POST", path, takes, models.Receipt, self._publishing(verb))

    def _publishing(self, verb: Callable[..., Envelope]) -> Callable[[Any], Awaitable[Any]]:
        async def publish(asked: Model | list[Model]) -> Any:
            if isinstance(asked, Model):
                return (await self._publish([verb(**_fields(asked))]))[0]
            return await self._publish(_all(verb, asked))

        return publish

    async def _publish(self, envelopes: Sequence[Envelope]) -> list[dict[str, Any]]:
        """Publish one envelope after the other, so that none is published if Redis refused an earlier one."""
        receipts = []
        for envelope in envelopes:
            try:
                taken = await self._members.commands.publish(envelope)
            except PublishError as error:
                raise Refused(error.code or "unavailable", str(error)) from None
            receipts.append({"offset": taken.offset, "duplicate": taken.status != PUBLISHED, "queued": False})
        return receipts

    async def _presence(self, query: models.PresenceQuery) -> dict[str, Any]:
        return {"online": await online(self._members.commands, query.organization_id, query.user_ids)}

    async def _room(self, query: models.RoomQuery) -> dict[str, Any]:
        return await room_now(self._members, query)


def _all(verb: Callable[..., Envelope], asked: Sequence[Model]) -> list[Envelope]:
    """Build all envelopes; raises `Refused` if one is invalid, before any is sent."""
    envelopes = []
    for number, model in enumerate(asked):
        try:
            envelopes.append(verb(**_fields(model)))
        except InvalidEvent as error:
            raise invalid([{"field": str(number), "message": str(error)}]) from None
    return envelopes


def _fields(model: Model) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}
