"""Cut wires are cut, and nothing is left of them: or the campaign would prove nothing, and litter the machine."""

import subprocess
import sys

from cluster.wires import Wires
from servers import until

PORT = 7000  # in namespaces of its own nobody else has it
SAYS = f"import socket\nwith socket.create_server(('', {PORT})) as s:\n while True:\n  s.accept()[0].sendall(b'here')"
HEARS = (
    "import socket,sys\ntry: sys.exit(socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.5).recv(4) != b'here')\nexcept OSError: sys.exit(1)"
)


def hears(wires: Wires, place: str, other: str) -> bool:
    command = wires.inside(place, [sys.executable, "-S", "-c", HEARS, wires.address(other), str(PORT)])
    return subprocess.run(command, timeout=30, check=False).returncode == 0


async def test_a_cut_wire_is_cut_and_a_mended_one_is_whole() -> None:
    wires = Wires(["a", "b", "c"])
    with wires.until_left():
        speaking = [subprocess.Popen(wires.inside(name, [sys.executable, "-S", "-c", SAYS])) for name in ("b", "c")]  # noqa: ASYNC220
        try:
            await until(lambda: hears(wires, "a", "b") and hears(wires, "a", "c"), "everybody hears everybody")
            wires.cut("b")
            assert (hears(wires, "a", "b"), hears(wires, "a", "c")) == (False, True)
            wires.mend("b")
            await until(lambda: hears(wires, "a", "b"), "what is mended is whole")
            wires.part("c", ["b"])
            assert (hears(wires, "c", "b"), hears(wires, "b", "c"), hears(wires, "a", "b"), hears(wires, "a", "c")) == (False, False, True, True)
            wires.join("c", ["b"])
            await until(lambda: hears(wires, "b", "c") and hears(wires, "c", "b"), "what is joined is whole")
        finally:
            for one in speaking:
                one.kill()
                one.wait(30)
            wires.remove()
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=30, check=True).stdout  # noqa: ASYNC221
    assert wires.own not in left
