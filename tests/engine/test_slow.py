from gateway.core.frames import Frame
from gateway.engine import CloseReason
from tests.engine.rig import serve
from tests.support.waiting import until
from tests.support.websocket import opened


async def test_a_client_that_stops_reading_is_cut_and_the_others_miss_nothing() -> None:
    async with serve(max_buffer_bytes=200_000) as rig, opened(rig.port, limit=1024):
        stuck = rig.socket
        async with opened(rig.port) as healthy:
            sent = 0
            while not stuck.closed:
                assert stuck.buffered <= 300_000
                frame = Frame(b"%08d" % sent + b"x" * 50_000)
                for socket in rig.engine.sockets.copy().values():
                    socket.send_frame(frame)
                sent += 1
                text = str(await healthy.receive())
                assert text.startswith(f"4{sent - 1:08d}")
            assert rig.engine.stats.slow_cut == 1
            await until(lambda: rig.reasons == [CloseReason.SLOW])
            healthy.send("4fine")
            assert await healthy.receive() == "4fine"


async def test_being_cut_does_not_disturb_the_loop_that_sends() -> None:
    async with serve(max_buffer_bytes=10_000) as rig, opened(rig.port, limit=1024):
        frame = Frame(b"x" * 100_000)
        for _ in range(500):
            rig.socket.send_frame(frame)
        assert not rig.socket.closed
        await until(lambda: rig.reasons == [CloseReason.SLOW])
