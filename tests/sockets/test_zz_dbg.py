import tests.sockets.test_interleavings as t
from tests.sockets.test_interleavings import _small_limits
import gateway.sockets.joining as j, gateway.core.hub as h
def test_dbg(shared_redis_server, monkeypatch):
    monkeypatch.setattr(t.Machine, "port", shared_redis_server.port)
    state = t.Machine()
    state.everybody_is_there()
    orig = j.Rooms._history
    async def hist(self, member, room, at, since, history):
        r = await orig(self, member, room, at, since, history)
        print("HISTORY", member.sid[:4], room.name[-4:], "at", at, "last", room.last_seq, "pos", member.tenant.position, "since", since, "->", r, "cork", [c.seq for c in member.cork or []], "mlast", member.last_seq)
        return r
    monkeypatch.setattr(j.Rooms, "_history", hist)
    od = h.Hub.dispatch
    def dispatch(self, room, message):
        print("DISPATCH", room.name[:4], room.name[-4:], message.seq, message.flag, "last", room.last_seq, [(m.sid[:4], m.last_seq, m.cork is not None) for m in room.members])
        return od(self, room, message)
    monkeypatch.setattr(h.Hub, "dispatch", dispatch)
    state.join(browser=1, room=2)
    state.join(browser=0, room=0)
    state.join(browser=2, room=1)
    state.redis_hears(kind='hear', replica=0, times=3)
    state.publish(rooms={0, 1}, sender=None, wide=False)
    state.publish(rooms=set(), sender=None, wide=False)
    state.publish(rooms=set(), sender=None, wide=False)
    state.publish(rooms={0, 1}, sender=None, wide=False)
    for e in state.world.events.values(): print(e)
    state.teardown()
