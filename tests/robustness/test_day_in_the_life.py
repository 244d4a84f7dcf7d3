"""Two people, five devices, bad connections: in the end all have the same history.

Messages are thousands, connections are lost in the middle of everything, sessions are
resumed or begun anew, devices are away and catch up from the archive; in one of the days the
server is killed, too.
"""

from collections import defaultdict

import pytest
from devices import Device

PLUGINS = {
    "roster": {},
    "disco": {},
    "ping": {},
    "sm": {"resume_for": "20 s"},
    "carbons": {},
    "mam": {},
    "csi": {},
    "offline": {"max_messages": 100_000, "max_bytes": "1 GiB"},
}
DEVICES = [
    ("romeo", "phone", "juliet"),
    ("romeo", "laptop", "juliet"),
    ("romeo", "tablet", "juliet"),
    ("juliet", "phone", "romeo"),
    ("juliet", "laptop", "romeo"),
]
MESSAGES = 400  # of each device
SECONDS = 150.0


@pytest.fixture
def day(stage):
    server = stage.server(plugins=PLUGINS, limits={"rate": "none"})
    devices = [
        Device(server.process.port, *who, messages=MESSAGES, seed=number)
        for number, who in enumerate(DEVICES)
    ]
    yield server, devices
    for device in devices:
        device.finish.set()
        device.join(60)


def live_through(devices, middle=lambda: None):
    for device in devices:
        device.start()
    middle()
    for device in devices:
        assert device.said.wait(SECONDS), f"{device.name} has not said all"
        if device.failure is not None:
            raise device.failure
    for device in devices:
        device.finish.set()
    for device in devices:
        device.join(60)
        assert not device.is_alive()
        if device.failure is not None:
            raise device.failure


def check_histories(devices):
    histories = defaultdict(list)
    for device in devices:
        histories[device.localpart].append(
            [(id, seen.origin, seen.body) for id, seen in sorted(device.history.items())]
        )
    for same in histories.values():
        assert all(history == same[0] for history in same)
    said = {
        f"{localpart}-{resource}-{number}"
        for localpart, resource, _ in DEVICES
        for number in range(MESSAGES)
    }
    for history, *_ in histories.values():
        assert {origin for _, origin, _ in history} == said
        last = {}
        for _, origin, _ in history:
            speaker, number = origin.rsplit("-", 1)
            # What was said again, for want of an answer, has the same origin as before.
            assert int(number) <= last.get(speaker, -1) + 1
            last[speaker] = max(last.get(speaker, -1), int(number))
    return histories


def test_bad_connections(day):
    _, devices = day
    live_through(devices)
    histories = check_histories(devices)
    assert sum(device.resumptions for device in devices) > 20
    assert not any(device.twice or device.refused for device in devices)
    for history, *_ in histories.values():
        # Nobody had to begin anew with something unacknowledged but after a clean end.
        assert len(history) == len({origin for _, origin, _ in history})


def test_bad_connections_and_a_server_that_is_killed(stage, day):
    server, devices = day

    def kill():
        stage.wait_until(
            lambda: sum(device.number for device in devices) > MESSAGES * 2, "half of the talk"
        )
        server.process.kill()
        server.process.start()

    live_through(devices, kill)
    check_histories(devices)
